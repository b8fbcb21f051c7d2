//! A session: who works, where names point, and the transaction that is open.
mod outcome;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use catalog::{CommitMeta, Error, Key, Result};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use crate::Engine;
use crate::names::FullName;
use crate::scope::Scope;
use crate::sql::{self, Parsed};
use crate::write::{self, Target, WriteContext};

pub use outcome::Outcome;

/// How a [`Session`] begins.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The ref of table names without one; `None` is the engine's default branch.
    pub default_ref: Option<String>,
    /// The author of the commits made here.
    pub author: String,
}

/// One user's place: statements run in it one after the other, reading or writing.
pub struct Session {
    engine: Engine,
    author: String,
    reference: Mutex<String>,
}

impl Session {
    pub(crate) fn new(engine: Engine, options: SessionOptions) -> Self {
        let default = engine.config().default_branch.clone();
        Session {
            author: options.author,
            reference: Mutex::new(options.default_ref.unwrap_or(default)),
            engine,
        }
    }

    /// The ref of table names without one.
    pub fn reference(&self) -> String {
        let reference = self.reference.lock();
        reference.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs one statement; `params` are the values of `$1`, `$2`, ...
    ///
    /// # Errors
    /// Those of [`Engine::query`] for a statement that reads; for one that writes also
    /// `Conflict` when a concurrent commit cannot be reconciled with it.
    pub async fn execute(&self, sql: &str, params: &[ScalarValue]) -> Result<Outcome> {
        match sql::parse(self.engine.base(), sql)? {
            Parsed::Query(statement) => {
                let prepared = self.engine.plan(*statement, &self.scope()).await?;
                Ok(Outcome::Rows(prepared.bind(params).await?.run()?))
            }
            Parsed::Rows(statement) => self.change_rows(&statement).await,
        }
    }

    fn scope(&self) -> Scope {
        Scope {
            default_ref: self.reference(),
            default_namespace: self.engine.config().default_namespace.clone(),
            ..Scope::default()
        }
    }

    async fn change_rows(&self, statement: &SqlStatement) -> Result<Outcome> {
        let mut scope = self.scope();
        let name = write::target_name(statement)?;
        let name = FullName::new(&name, &scope.default_ref, &scope.default_namespace);
        let lake = self.engine.lake();
        let base = lake.catalog().head(&name.reference).await?;
        scope.working = BTreeMap::from([(name.reference.clone(), base.clone())]);
        let key = Key {
            namespace: name.namespace,
            name: name.table,
        };
        let target = Target {
            table: lake.table(&base, &key).await?,
            branch: name.reference,
            key,
            snapshot: base.clone(),
        };
        let context = WriteContext::new(self.engine.clone(), scope);
        let staged = write::stage(&context, &target, statement).await?;
        let verb = statement.to_string();
        let verb = verb.split_whitespace().next().unwrap_or_default();
        let message = format!("{verb} {}", target.key);
        let meta = CommitMeta::new(&self.author, &message);
        let catalog = lake.catalog();
        let commit = catalog.commit_operations(&target.branch, meta, base.id(), staged.operations);
        let commit = commit.await?;
        Ok(Outcome::Done {
            message: format!("{verb} {}", staged.rows),
            rows_affected: Some(staged.rows),
            commit: Some(commit.id()),
        })
    }
}

/// A statement that writes where only reading is possible.
pub(crate) fn needs_session(what: &str) -> Error {
    Error::unsupported(format!("{what} cannot run here: only reading is possible"))
        .with_hint("run it in the SQL shell or over Flight SQL")
}
