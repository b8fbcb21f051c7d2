//! The tables in the lake that rows need: created, evolved, and asked for until the lake answers.

use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use catalog::{CommitMeta, Error, ErrorKind, Key, Result};
use lake::{Lake, PartitionField, Table, TableSpec};

use crate::backoff::Backoff;
use crate::decode::{self, Need};
use crate::stats::Counters;

/// The author of ingest's commits.
pub(crate) const AUTHOR: &str = "ingest";

/// A way to the tables of one branch.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) lake: Lake,
    pub(crate) branch: String,
    pub(crate) counters: Arc<Counters>,
}

impl Tables {
    /// The table with the columns a message needs, created or evolved where it must be. Waits for
    /// a lake that is away.
    ///
    /// # Errors
    /// Why the message can have no such columns: a clash of types, a name that cannot be.
    pub(crate) async fn provide(&self, need: &Need) -> Result<Table> {
        self.until_settled("cannot prepare a table", || {
            self.ensure(&need.key, &need.columns, &need.spec)
        })
        .await
    }

    /// The dead-letter table, created when it is not there. Waits for a lake that is away.
    ///
    /// # Errors
    /// When a table of that name has columns of other types.
    pub(crate) async fn provide_dead_letters(&self, key: &Key) -> Result<Table> {
        let schema = decode::dead_letter_schema();
        let spec = TableSpec {
            schema: Arc::clone(&schema),
            partition: vec![PartitionField::day(decode::RECEIVED_AT)],
            sort: vec![decode::RECEIVED_AT.into()],
            bloom: Vec::new(),
            ..TableSpec::default()
        };
        self.until_settled("cannot prepare the dead-letter table", || {
            self.ensure(key, &schema, &spec)
        })
        .await
    }

    async fn ensure(&self, key: &Key, columns: &SchemaRef, spec: &TableSpec) -> Result<Table> {
        let head = self.lake.catalog().head(&self.branch).await?;
        let table = match self.lake.table(&head, key).await {
            Ok(table) => table,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let meta = CommitMeta::new(AUTHOR, format!("create {key}")).automatic();
                let created = self.lake.create_table(&self.branch, key, spec, meta).await;
                match created {
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                        let head = self.lake.catalog().head(&self.branch).await?;
                        self.lake.table(&head, key).await?
                    }
                    created => return created,
                }
            }
            Err(e) => return Err(e),
        };
        let schema = table.arrow_schema();
        if columns
            .fields()
            .iter()
            .all(|f| schema.field_with_name(f.name()).is_ok())
        {
            return Ok(table);
        }
        let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
        let meta =
            CommitMeta::new(AUTHOR, format!("add {} to {key}", names.join(", "))).automatic();
        self.lake.evolve(&self.branch, key, columns, meta).await
    }

    /// Runs `attempt` until it succeeds or fails in a way that trying again does not mend.
    async fn until_settled<F>(&self, what: &str, attempt: impl Fn() -> F) -> Result<Table>
    where
        F: Future<Output = Result<Table>>,
    {
        let mut backoff = Backoff::new();
        loop {
            let error = match attempt().await {
                Ok(table) => return Ok(table),
                Err(error) if is_about_the_columns(&error) => return Err(error),
                Err(error) => error,
            };
            tracing::warn!(%error, "{what}, trying again");
            self.counters.set_error(Some(error.to_string()));
            backoff.wait().await;
        }
    }
}

/// Whether the lake refuses the columns themselves, rather than failing to answer.
fn is_about_the_columns(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::Conflict
    )
}
