//! Flight SQL answers: infos with tickets, and streams of batches.
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use catalog::Result;
use datafusion::error::DataFusionError;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Response, Status};

use crate::error::stream_error;
use crate::flight::status::to_status;

/// Encoded batches on their way to the client.
pub(crate) type DataStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// An info whose one endpoint is this server.
pub(crate) fn info(
    schema: &Schema,
    ticket: impl Into<Bytes>,
    descriptor: FlightDescriptor,
) -> Result<Response<FlightInfo>, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| unencodable(&error))?
        .with_endpoint(endpoint)
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

/// An info for a command that is its own ticket, as all metadata commands are.
pub(crate) fn command_info(
    schema: &Schema,
    descriptor: FlightDescriptor,
) -> Result<Response<FlightInfo>, Status> {
    info(schema, descriptor.cmd.clone(), descriptor)
}

/// `batches` encoded: split where they are large, errors as statuses of their kind.
pub(crate) fn rows(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send + 'static,
) -> Response<DataStream> {
    let batches = batches.map_err(|error| {
        let status = to_status(&stream_error(error));
        FlightError::Tonic(Box::new(status))
    });
    let encoded = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches)
        .map_err(Status::from);
    Response::new(encoded.boxed())
}

/// One metadata batch encoded.
pub(crate) fn batch(batch: Result<RecordBatch>) -> Result<Response<DataStream>, Status> {
    let batch = batch.map_err(|error| to_status(&error))?;
    Ok(rows(batch.schema(), stream::iter([Ok(batch)])))
}

/// No rows of `schema`.
pub(crate) fn nothing(schema: SchemaRef) -> Response<DataStream> {
    rows(schema, stream::empty())
}

/// `schema` as an IPC message; empty bytes for no columns, as clients expect.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default())
        .try_into()
        .map_err(|error| unencodable(&error))?;
    Ok(bytes)
}

fn unencodable(error: &arrow::error::ArrowError) -> Status {
    Status::internal(format!("cannot encode a schema: {error}"))
}
