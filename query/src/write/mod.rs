//! Statements that change tables: what they work on, and what they leave to be committed.
mod names;
mod stage;

use std::collections::HashMap;
use std::sync::Arc;

use catalog::{Key, Operation, Result, Snapshot};
use datafusion::catalog::TableProvider;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use lake::Lake;

use crate::Engine;
use crate::scope::Scope;
use crate::statement::{Prepared, QueryResult};

pub(crate) use names::target_name;
pub(crate) use stage::stage;

/// The table a statement changes, as it is in the working state of its branch.
pub(crate) struct Target {
    /// The branch written to.
    pub(crate) branch: String,
    /// The table's name on it.
    pub(crate) key: Key,
    /// The table.
    pub(crate) table: lake::Table,
    /// The state the statement works on: what is committed, and what earlier statements
    /// of the transaction have staged.
    pub(crate) snapshot: Snapshot,
}

/// What a statement has prepared: its files are written, nothing is committed.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// The changes of the catalog, at most one for each key.
    pub(crate) operations: Vec<Operation>,
    /// Rows inserted, deleted or updated.
    pub(crate) rows: u64,
}

/// What a writing statement may use: the lake, and queries on the state it works on.
pub(crate) struct WriteContext {
    engine: Engine,
    scope: Scope,
}

impl WriteContext {
    /// `scope.working` holds the state of the branch written to.
    pub(crate) fn new(engine: Engine, scope: Scope) -> Self {
        WriteContext { engine, scope }
    }

    /// The lake written to.
    pub(crate) fn lake(&self) -> &Lake {
        self.engine.lake()
    }

    /// What names without a ref or a namespace mean.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Plans `query` against the working state; parameters are values already.
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub(crate) async fn plan(&self, query: Query) -> Result<Prepared> {
        self.plan_with(query, HashMap::new()).await
    }

    /// As [`WriteContext::plan`], with tables of the statement's own that `query` reads as
    /// `"$own"."$own".name` (see [`crate::scope::OWN`]).
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub(crate) async fn plan_with(
        &self,
        query: Query,
        own: HashMap<String, Arc<dyn TableProvider>>,
    ) -> Result<Prepared> {
        let scope = Scope {
            own,
            ..self.scope.clone()
        };
        let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        self.engine.plan(statement, &scope).await
    }

    /// Plans and starts `query`.
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub(crate) async fn run(&self, query: Query) -> Result<QueryResult> {
        self.plan(query).await?.bind(&[]).await?.run()
    }

    /// Plans and starts `query` with tables of its own, as [`WriteContext::plan_with`] does.
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub(crate) async fn run_with(
        &self,
        query: Query,
        own: HashMap<String, Arc<dyn TableProvider>>,
    ) -> Result<QueryResult> {
        self.plan_with(query, own).await?.bind(&[]).await?.run()
    }
}
