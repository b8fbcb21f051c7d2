//! Parameter values as clients send them: a stream of batches, one row per execution.
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use tonic::Status;

/// Executions one binding may ask for; each is planned on its own.
const MAX_ROWS: usize = 1000;

/// The rows of `stream`, each the values of `$1`, `$2`, ...
///
/// # Errors
/// `InvalidArgument` for too many rows or data that cannot be decoded.
pub(crate) async fn read(
    stream: PeekableFlightDataStream,
) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let mut batches =
        FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
    let mut rows = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        if rows.len() + batch.num_rows() > MAX_ROWS {
            return Err(Status::invalid_argument(format!(
                "at most {MAX_ROWS} rows of parameters can be bound at once"
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
