//! Parameter values as clients send them: a stream of batches, one row per execution.
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use futures::future::ready;
use tonic::Status;

/// Executions that one binding of a query may ask for; each is planned on its own.
pub(crate) const MOST_QUERIES: usize = 1000;
/// Executions that one update may ask for; they are one statement and one commit.
pub(crate) const MOST_UPDATES: usize = 10_000;

/// The rows of `stream`, each the values of `$1`, `$2`, ...
///
/// # Errors
/// `InvalidArgument` for too many rows or data that cannot be decoded.
pub(crate) async fn read(
    stream: PeekableFlightDataStream,
    most: usize,
) -> Result<Vec<Vec<ScalarValue>>, Status> {
    // A statement without parameters comes as a message without data.
    let stream = stream.try_filter(|message| ready(!message.data_header.is_empty()));
    let mut batches =
        FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
    let mut rows = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        if rows.len() + batch.num_rows() > most {
            return Err(Status::invalid_argument(format!(
                "at most {most} rows of parameters can be bound at once (load many rows with bulk ingestion)"
            )));
        }
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter();
            let values = values.map(|column| ScalarValue::try_from_array(column, row));
            let values: Result<Vec<_>, _> = values.collect();
            rows.push(values.map_err(|error| {
                Status::invalid_argument(format!("a parameter has an unusable type: {error}"))
            })?);
        }
    }
    Ok(rows)
}
