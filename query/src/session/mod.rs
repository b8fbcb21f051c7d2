//! A session: who works, where names point, and the transaction that is open.
//!
//! Every statement that changes tables is one commit; between `BEGIN` and `COMMIT` all of
//! them are one. A statement is staged whole or not at all, so one that fails leaves its
//! transaction as it was.
mod act;
mod command;
mod hot;
mod listing;
mod outcome;
mod place;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement;
use tokio::sync::Mutex;

use crate::Engine;
use crate::scope::Scope;
use crate::sql::{self, Parsed};
use crate::statement::Prepared;
use crate::write::Write;

pub(crate) use act::Action;
pub use outcome::Outcome;
use place::Place;
use transaction::Transaction;

/// How a [`Session`] begins.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The ref of table names without one; `None` is the engine's default branch.
    pub default_ref: Option<String>,
    /// The author of the commits made here.
    pub author: String,
}

/// One user's place: statements run in it one after the other, reading or writing. Clones
/// are the same session.
///
/// A transaction reads the newest commits until it first writes; from then on it sees its
/// branch as it was then, with its own changes on top. Rows that ingest had not committed
/// yet at that moment are committed first, so that they stay in sight and can be written to.
#[derive(Clone)]
pub struct Session {
    engine: Engine,
    author: Arc<str>,
    /// The ref where `USE` has chosen none.
    default_ref: Arc<str>,
    place: Arc<Place>,
    transaction: Arc<Mutex<Option<Transaction>>>,
    /// Whether the client ends the transaction by other means than SQL.
    managed: bool,
}

/// A statement of a session before it runs.
pub(crate) enum Ready {
    /// It reads, and is planned.
    Query(Box<Prepared>),
    /// It does something.
    Action(Action),
}

impl Session {
    pub(crate) fn new(engine: Engine, options: SessionOptions) -> Self {
        let default = &engine.config().default_branch;
        let default = options.default_ref.as_ref().unwrap_or(default);
        Session {
            author: options.author.into(),
            default_ref: default.as_str().into(),
            place: Arc::default(),
            transaction: Arc::default(),
            managed: false,
            engine,
        }
    }

    /// This session with another ref where `USE` has chosen none.
    pub(crate) fn at(&self, default_ref: &str) -> Session {
        Session {
            default_ref: default_ref.into(),
            ..self.clone()
        }
    }

    /// This session with `author` as the author of its commits.
    pub(crate) fn by(&self, author: &str) -> Session {
        Session {
            author: author.into(),
            ..self.clone()
        }
    }

    /// A session in the same place with a transaction of its own, which is open.
    pub(crate) fn begun(&self) -> Session {
        Session {
            transaction: Arc::new(Mutex::new(Some(Transaction::open()))),
            managed: true,
            ..self.clone()
        }
    }

    /// The ref of table names without one.
    pub fn reference(&self) -> String {
        let chosen = self.place.chosen().reference;
        chosen.unwrap_or_else(|| self.default_ref.to_string())
    }

    /// The namespace of bare table names.
    pub fn namespace(&self) -> String {
        let chosen = self.place.chosen().namespace;
        chosen.unwrap_or_else(|| self.engine.config().default_namespace.clone())
    }

    /// Takes another ref for table names without one, as `USE` does.
    ///
    /// # Errors
    /// `NotFound` for a ref that is not there.
    pub async fn use_reference(&self, name: &str) -> Result<()> {
        self.engine.lake().catalog().resolve_commit(name).await?;
        self.place.choose_reference(name);
        Ok(())
    }

    /// Takes another namespace for bare table names, as `USE SCHEMA` does.
    pub fn use_namespace(&self, name: &str) {
        self.place.choose_namespace(name);
    }

    /// Whether the client has ended the transaction that this session was made for.
    pub(crate) async fn ended(&self) -> bool {
        self.managed && self.transaction.lock().await.is_none()
    }

    /// Forgets what `USE` has chosen.
    pub(crate) fn reset_place(&self) {
        self.place.reset();
    }

    /// Whether `BEGIN` was said and neither `COMMIT` nor `ROLLBACK` since.
    pub async fn in_transaction(&self) -> bool {
        self.transaction.lock().await.is_some()
    }

    /// Runs one statement; `params` are the values of `$1`, `$2`, ...
    ///
    /// # Errors
    /// Those of [`Engine::query`] for a statement that reads; for one that writes also
    /// `Conflict` when a concurrent commit cannot be reconciled with it.
    pub async fn execute(&self, sql: &str, params: &[ScalarValue]) -> Result<Outcome> {
        match self.ready(sql).await? {
            Ready::Query(prepared) => Ok(Outcome::Rows(prepared.bind(params).await?.run()?)),
            Ready::Action(action) => {
                let rows: &[Vec<ScalarValue>] = match params.is_empty() {
                    true => &[],
                    false => &[params.to_vec()],
                };
                self.act(&action, rows).await
            }
        }
    }

    /// Plans `sql` where it reads; nothing else happens yet.
    pub(crate) async fn ready(&self, sql: &str) -> Result<Ready> {
        self.check_open(self.transaction.lock().await.as_ref())?;
        match sql::parse(self.engine.base(), sql)? {
            Parsed::Query(statement) => {
                let prepared = self.engine.plan(*statement, &self.scope().await).await?;
                Ok(Ready::Query(Box::new(prepared)))
            }
            Parsed::Action(action) => Ok(Ready::Action(action)),
        }
    }

    /// The parameters of `action`, named `$1`, `$2`, ..., with the types the planner finds;
    /// `Null` where it finds none.
    pub(crate) async fn parameters(&self, action: &Action) -> Result<SchemaRef> {
        let Action::Write(write) = action else {
            return Ok(Arc::new(Schema::empty()));
        };
        let types = match write.as_ref() {
            Write::Rows(statement) => {
                let statement = Statement::Statement(statement.clone());
                self.engine
                    .parameter_types(statement, &self.scope().await)
                    .await
            }
            _ => HashMap::new(),
        };
        let fields = (1..=write.placeholders()).map(|number| {
            let name = format!("${number}");
            let known = types.get(&name).cloned().flatten();
            Field::new(name, known.unwrap_or(DataType::Null), true)
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// What names mean to a statement that reads now.
    pub(crate) async fn scope(&self) -> Scope {
        let mut scope = self.names();
        if let Some(transaction) = self.transaction.lock().await.as_ref() {
            transaction.show_in(&mut scope);
        }
        scope
    }

    /// What names mean, outside of any transaction.
    fn names(&self) -> Scope {
        Scope {
            default_ref: self.reference(),
            default_namespace: self.namespace(),
            ..Scope::default()
        }
    }
}

/// A statement that writes where only reading is possible.
pub(crate) fn needs_session(what: &str) -> Error {
    Error::unsupported(format!("{what} cannot run here: only reading is possible"))
        .with_hint("run it in the SQL shell or over Flight SQL")
}
