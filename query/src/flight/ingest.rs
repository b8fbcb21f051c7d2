//! `CommandStatementIngest`: a client's batches become rows of a table.
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use datafusion::common::TableReference;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Status;

use crate::QueryResult;
use crate::error::into_datafusion;
use crate::flight::status::from_flight;
use crate::session::Action;
use crate::write::{IfMissing, IfThere, Load, Write};

/// What `command` asks for, with the rows of `stream`.
///
/// # Errors
/// `InvalidArgument` for a stream without a schema, `Unimplemented` for temporary tables.
pub(crate) async fn action(
    command: CommandStatementIngest,
    stream: PeekableFlightDataStream,
) -> Result<Action, Status> {
    if command.temporary {
        return Err(Status::unimplemented("there are no temporary tables"));
    }
    let definition = command.table_definition_options.unwrap_or_default();
    let if_missing = match definition.if_not_exist() {
        TableNotExistOption::Create => IfMissing::Create,
        _ => IfMissing::Fail,
    };
    let if_there = match definition.if_exists() {
        TableExistsOption::Fail => IfThere::Fail,
        TableExistsOption::Replace => IfThere::Replace,
        _ => IfThere::Append,
    };
    let name = match (command.catalog, command.schema) {
        (Some(catalog), Some(schema)) => TableReference::full(catalog, schema, command.table),
        (None, Some(schema)) => TableReference::partial(schema, command.table),
        (None, None) => TableReference::bare(command.table),
        (Some(_), None) => {
            return Err(Status::invalid_argument(
                "a table with a catalog (branch) needs a schema (namespace) too",
            ));
        }
    };
    let rows = rows(stream).await?;
    let load = Load::new(name, if_missing, if_there, rows);
    Ok(Action::Write(Box::new(Write::Load(load))))
}

async fn rows(stream: PeekableFlightDataStream) -> Result<QueryResult, Status> {
    let mut batches =
        FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
    // The schema comes with the first message.
    let first = batches.try_next().await?;
    let schema = match (&first, batches.schema()) {
        (Some(batch), _) => batch.schema(),
        (None, Some(schema)) => Arc::clone(schema),
        (None, None) => Arc::new(Schema::empty()),
    };
    if schema.fields().is_empty() {
        return Err(Status::invalid_argument("the rows to load have no columns"));
    }
    let batches = batches
        .map_err(|error| into_datafusion(from_flight(&error)))
        .boxed();
    let all = stream::iter(first.map(Ok)).chain(batches);
    Ok(QueryResult {
        schema: Arc::clone(&schema),
        stream: Box::pin(RecordBatchStreamAdapter::new(schema, all)),
        commits: Default::default(),
    })
}
