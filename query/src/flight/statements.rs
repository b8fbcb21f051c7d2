//! Statements between two calls: planned and waiting for DoGet, or prepared for many runs.
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::into_datafusion;
use crate::flight::handles::Handles;
use crate::output::conform;
use crate::{Bound, Engine, Prepared};

/// Planned statements hold their hot rows, so few are kept, and not for long.
const PENDING: (usize, Duration) = (1024, Duration::from_secs(600));
/// Prepared ones are only text and parameters.
const PREPARED: (usize, Duration) = (8192, Duration::from_secs(24 * 3600));

/// The statements clients hold handles to.
pub(crate) struct Statements {
    engine: Engine,
    pending: Handles<Pending>,
    prepared: Handles<Held>,
}

/// A statement planned at GetFlightInfo: its schema is announced and its commits are
/// pinned, so DoGet must run exactly this.
struct Pending {
    first: Bound,
    prepared: Prepared,
    /// Parameters of the executions after the first.
    rest: Vec<Vec<ScalarValue>>,
}

/// A prepared statement. It is planned anew for each run, to see new commits.
#[derive(Clone)]
struct Held {
    sql: String,
    default_ref: Option<String>,
    rows: Vec<Vec<ScalarValue>>,
}

/// What a client learns when it prepares a statement.
pub(crate) struct Description {
    pub(crate) handle: Bytes,
    pub(crate) columns: SchemaRef,
    pub(crate) parameters: SchemaRef,
}

impl Statements {
    pub(crate) fn new(engine: Engine) -> Self {
        Statements {
            engine,
            pending: Handles::new(PENDING.0, PENDING.1),
            prepared: Handles::new(PREPARED.0, PREPARED.1),
        }
    }

    /// Plans `sql`; the handle runs it once.
    pub(crate) async fn plan(
        &self,
        sql: &str,
        default_ref: Option<&str>,
    ) -> Result<(SchemaRef, Bytes)> {
        self.plan_rows(sql, default_ref, Vec::new()).await
    }

    /// The columns `sql` would give.
    pub(crate) async fn describe(&self, sql: &str, default_ref: Option<&str>) -> Result<SchemaRef> {
        Ok(self.engine.prepare(sql, default_ref).await?.schema())
    }

    /// Runs what [`Statements::plan`] or [`Statements::plan_prepared`] gave the handle for.
    pub(crate) fn run(&self, handle: &[u8]) -> Result<SendableRecordBatchStream> {
        let pending = self.pending.take(handle).ok_or_else(|| {
            Error::not_found("this ticket was used already or has expired")
                .with_hint("run the statement again; a ticket is good for one DoGet")
        })?;
        let first = pending.first.run()?;
        let schema = first.schema;
        if pending.rest.is_empty() {
            return Ok(first.stream);
        }
        let shape = SchemaRef::clone(&schema);
        let prepared = pending.prepared;
        let rest = stream::iter(pending.rest).then(move |row| {
            let (prepared, shape) = (prepared.clone(), SchemaRef::clone(&shape));
            async move {
                let bound = prepared.bind(&row).await.map_err(into_datafusion)?;
                let result = bound.run().map_err(into_datafusion)?;
                Ok::<_, DataFusionError>(conform(result.stream, shape))
            }
        });
        let rows = first.stream.chain(rest.try_flatten());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Prepares `sql` for many runs.
    pub(crate) async fn prepare(
        &self,
        sql: String,
        default_ref: Option<String>,
    ) -> Result<Description> {
        let prepared = self.engine.prepare(&sql, default_ref.as_deref()).await?;
        let parameters = prepared.parameters()?;
        let columns = prepared.schema();
        let handle = self.prepared.insert(Held {
            sql,
            default_ref,
            rows: Vec::new(),
        });
        Ok(Description {
            handle,
            columns,
            parameters,
        })
    }

    /// Gives a prepared statement its parameters: one row per execution.
    pub(crate) fn bind(&self, handle: &[u8], rows: Vec<Vec<ScalarValue>>) -> Result<()> {
        let bound = self.prepared.with(handle, |held| held.rows = rows);
        bound.ok_or_else(no_such_statement)
    }

    /// Plans a prepared statement with the parameters it was last given.
    pub(crate) async fn plan_prepared(&self, handle: &[u8]) -> Result<(SchemaRef, Bytes)> {
        let held = self.held(handle)?;
        self.plan_rows(&held.sql, held.default_ref.as_deref(), held.rows)
            .await
    }

    /// The columns of a prepared statement.
    pub(crate) async fn describe_prepared(&self, handle: &[u8]) -> Result<SchemaRef> {
        let held = self.held(handle)?;
        self.describe(&held.sql, held.default_ref.as_deref()).await
    }

    /// Forgets a prepared statement; closing twice is no error.
    pub(crate) fn close(&self, handle: &[u8]) {
        self.prepared.take(handle);
    }

    fn held(&self, handle: &[u8]) -> Result<Held> {
        let held = self.prepared.with(handle, |held| held.clone());
        held.ok_or_else(no_such_statement)
    }

    async fn plan_rows(
        &self,
        sql: &str,
        default_ref: Option<&str>,
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<(SchemaRef, Bytes)> {
        let prepared = self.engine.prepare(sql, default_ref).await?;
        let mut rows = rows.into_iter();
        let first = prepared.bind(&rows.next().unwrap_or_default()).await?;
        let schema = first.schema();
        let handle = self.pending.insert(Pending {
            first,
            prepared,
            rest: rows.collect(),
        });
        Ok((schema, handle))
    }
}

fn no_such_statement() -> Error {
    Error::not_found(
        "no such prepared statement: it was closed, has expired, or the server restarted",
    )
    .with_hint("prepare it again")
}
