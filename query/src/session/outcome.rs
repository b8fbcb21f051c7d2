//! What a statement leaves: rows, or word that it is done.
use arrow::array::RecordBatch;
use catalog::CommitId;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use crate::QueryResult;

/// The answer to a statement.
pub enum Outcome {
    /// Rows, computed as they are read.
    Rows(QueryResult),
    /// The statement is carried out.
    Done {
        /// What was done, such as `INSERT 3`.
        message: String,
        /// Rows inserted, deleted or updated, where the statement counts them.
        rows_affected: Option<u64>,
        /// The commit it made; `None` in a transaction and when nothing changed.
        commit: Option<CommitId>,
    },
}

impl Outcome {
    pub(crate) fn done(verb: &str, rows: Option<u64>, commit: Option<CommitId>) -> Self {
        let message = match rows {
            Some(rows) => format!("{verb} {rows}"),
            None => verb.to_owned(),
        };
        Outcome::Done {
            message,
            rows_affected: rows,
            commit,
        }
    }

    /// Rows that are there already.
    pub(crate) fn listing(batch: RecordBatch) -> Self {
        let schema = batch.schema();
        let rows = RecordBatchStreamAdapter::new(schema.clone(), stream::iter([Ok(batch)]));
        Outcome::Rows(QueryResult {
            schema,
            stream: Box::pin(rows),
            commits: Default::default(),
        })
    }
}
