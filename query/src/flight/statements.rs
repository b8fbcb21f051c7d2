//! Statements between two calls: planned and waiting for DoGet, or prepared for many runs.
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::into_datafusion;
use crate::flight::done;
use crate::flight::handles::Handles;
use crate::output::conform;
use crate::session::Ready;
use crate::{Bound, Outcome, Prepared, Session};

/// Planned statements hold their hot rows, so few are kept, and not for long.
const PENDING: (usize, Duration) = (1024, Duration::from_secs(600));
/// Prepared ones are only text and parameters.
const PREPARED: (usize, Duration) = (8192, Duration::from_secs(24 * 3600));

/// The statements clients hold handles to.
pub(crate) struct Statements {
    pending: Handles<Pending>,
    prepared: Handles<Held>,
}

/// A statement between GetFlightInfo and DoGet.
enum Pending {
    /// It reads: its schema is announced and its commits are pinned, so DoGet must run
    /// exactly this.
    Query {
        first: Bound,
        prepared: Box<Prepared>,
        /// Parameters of the executions after the first.
        rest: Vec<Vec<ScalarValue>>,
    },
    /// It has run: clients that fetch no rows, or late, must find it done.
    Ran(SendableRecordBatchStream),
}

/// A prepared statement. It is planned anew for each run, to see new commits.
#[derive(Clone)]
struct Held {
    sql: String,
    session: Session,
    rows: Vec<Vec<ScalarValue>>,
}

/// What a client learns when it prepares a statement.
pub(crate) struct Description {
    pub(crate) handle: Bytes,
    pub(crate) columns: SchemaRef,
    pub(crate) parameters: SchemaRef,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Statements {
            pending: Handles::new(PENDING.0, PENDING.1),
            prepared: Handles::new(PREPARED.0, PREPARED.1),
        }
    }

    /// Plans `sql` where it reads, and runs it where it does something; the handle gives
    /// the rows once.
    pub(crate) async fn plan(&self, session: &Session, sql: &str) -> Result<(SchemaRef, Bytes)> {
        self.plan_rows(session, sql, Vec::new()).await
    }

    /// The columns `sql` would give.
    pub(crate) async fn describe(&self, session: &Session, sql: &str) -> Result<SchemaRef> {
        Ok(match session.ready(sql).await? {
            Ready::Query(prepared) => prepared.schema(),
            Ready::Action(action) => match action.columns()? {
                Some(columns) => columns,
                None => done::schema(&session.reference()),
            },
        })
    }

    /// Runs `sql`, which must not give rows, and returns how many rows it affected; -1 where
    /// it does not count them.
    pub(crate) async fn update(&self, session: &Session, sql: &str) -> Result<i64> {
        self.update_rows(session, sql, Vec::new()).await
    }

    /// Runs what [`Statements::plan`] or [`Statements::plan_prepared`] gave the handle for.
    pub(crate) fn run(&self, handle: &[u8]) -> Result<SendableRecordBatchStream> {
        let pending = self.pending.take(handle).ok_or_else(|| {
            Error::not_found("this ticket was used already or has expired")
                .with_hint("run the statement again; a ticket is good for one DoGet")
        })?;
        let (first, prepared, rest) = match pending {
            Pending::Query {
                first,
                prepared,
                rest,
            } => (first.run()?, prepared, rest),
            Pending::Ran(rows) => return Ok(rows),
        };
        let schema = first.schema;
        if rest.is_empty() {
            return Ok(first.stream);
        }
        let shape = SchemaRef::clone(&schema);
        let rest = stream::iter(rest).then(move |row| {
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

    /// Prepares `sql` for many runs. One that gives no rows has no columns.
    pub(crate) async fn prepare(&self, session: Session, sql: String) -> Result<Description> {
        let (columns, parameters) = match session.ready(&sql).await? {
            Ready::Query(prepared) => (prepared.schema(), prepared.parameters()?),
            Ready::Action(action) => {
                let parameters = session.parameters(&action).await?;
                let columns = action.columns()?;
                let nothing = || SchemaRef::new(Schema::empty());
                (columns.unwrap_or_else(nothing), parameters)
            }
        };
        let handle = self.prepared.insert(Held {
            sql,
            session,
            rows: Vec::new(),
        });
        Ok(Description {
            handle,
            columns,
            parameters,
        })
    }

    /// Whether the transaction of a prepared statement has ended.
    pub(crate) async fn ended(&self, handle: &[u8]) -> bool {
        match self.prepared.with(handle, |held| held.session.clone()) {
            Some(session) => session.ended().await,
            None => false,
        }
    }

    /// Lets a prepared statement run in `session` from now on.
    pub(crate) fn move_to(&self, handle: &[u8], session: Session) {
        self.prepared.with(handle, |held| held.session = session);
    }

    /// Gives a prepared statement its parameters: one row per execution.
    pub(crate) fn bind(&self, handle: &[u8], rows: Vec<Vec<ScalarValue>>) -> Result<()> {
        let bound = self.prepared.with(handle, |held| held.rows = rows);
        bound.ok_or_else(no_such_statement)
    }

    /// Plans a prepared statement with the parameters it was last given.
    pub(crate) async fn plan_prepared(&self, handle: &[u8]) -> Result<(SchemaRef, Bytes)> {
        let held = self.held(handle)?;
        self.plan_rows(&held.session, &held.sql, held.rows).await
    }

    /// Runs a prepared statement that gives no rows, with `rows` of parameters or those it
    /// was last given.
    pub(crate) async fn update_prepared(
        &self,
        handle: &[u8],
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<i64> {
        let held = self.held(handle)?;
        let rows = match rows.is_empty() {
            true => held.rows,
            false => rows,
        };
        self.update_rows(&held.session, &held.sql, rows).await
    }

    /// The columns of a prepared statement.
    pub(crate) async fn describe_prepared(&self, handle: &[u8]) -> Result<SchemaRef> {
        let held = self.held(handle)?;
        self.describe(&held.session, &held.sql).await
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
        session: &Session,
        sql: &str,
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<(SchemaRef, Bytes)> {
        let (schema, pending) = match session.ready(sql).await? {
            Ready::Query(prepared) => {
                let mut rows = rows.into_iter();
                let first = prepared.bind(&rows.next().unwrap_or_default()).await?;
                let schema = first.schema();
                let rest = rows.collect();
                let pending = Pending::Query {
                    first,
                    prepared,
                    rest,
                };
                (schema, pending)
            }
            Ready::Action(action) => {
                let rows = answer(session, session.act(&action, &rows).await?)?;
                (rows.schema(), Pending::Ran(rows))
            }
        };
        Ok((schema, self.pending.insert(pending)))
    }

    async fn update_rows(
        &self,
        session: &Session,
        sql: &str,
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<i64> {
        let action = match session.ready(sql).await? {
            Ready::Action(action) => action,
            Ready::Query(_) => {
                return Err(
                    Error::invalid("the statement returns rows: it is no update")
                        .with_hint("execute it as a query"),
                );
            }
        };
        match session.act(&action, &rows).await? {
            Outcome::Done { rows_affected, .. } => Ok(affected(rows_affected)),
            Outcome::Rows(_) => Ok(affected(None)),
        }
    }
}

/// Rows affected as Flight counts them: -1 where nobody has counted.
pub(crate) fn affected(rows: Option<u64>) -> i64 {
    rows.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX))
}

/// The rows that answer a statement which has run.
fn answer(session: &Session, outcome: Outcome) -> Result<SendableRecordBatchStream> {
    let (message, rows, commit) = match outcome {
        Outcome::Rows(rows) => return Ok(rows.stream),
        Outcome::Done {
            message,
            rows_affected,
            commit,
        } => (message, rows_affected, commit),
    };
    let batch = done::batch(&session.reference(), &message, rows, commit)?;
    let schema = batch.schema();
    let rows = stream::iter([Ok(batch)]);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn no_such_statement() -> Error {
    Error::not_found(
        "no such prepared statement: it was closed, has expired, or the server restarted",
    )
    .with_hint("prepare it again")
}
