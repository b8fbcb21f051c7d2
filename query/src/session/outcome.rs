//! What a statement leaves: rows, or word that it is done.
use catalog::CommitId;

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
