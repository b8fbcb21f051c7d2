//! What a writing statement works with.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use catalog::{Error, Result};
use datafusion::catalog::TableProvider;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DataType, Query, Statement as SqlStatement};
use lake::Lake;

use crate::Engine;
use crate::scope::Scope;
use crate::sql;
use crate::statement::{Prepared, QueryResult};

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

    /// The engine that plans.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// This, with names without a ref meaning `branch`.
    pub(crate) fn on(&self, branch: &str) -> WriteContext {
        let scope = Scope {
            default_ref: branch.to_owned(),
            ..self.scope.clone()
        };
        WriteContext::new(self.engine.clone(), scope)
    }

    /// The Arrow types that SQL types mean, nullable or not.
    ///
    /// # Errors
    /// `Unsupported` for a type there is no column of.
    pub(crate) async fn arrow_types(&self, types: &[&DataType]) -> Result<Vec<ArrowType>> {
        let columns = types.iter();
        let columns: Vec<String> = columns
            .enumerate()
            .map(|(number, sql)| format!("CAST(NULL AS {sql}) AS c{number}"))
            .collect();
        let query = sql::query(&format!("SELECT {}", columns.join(", ")))?;
        let schema = self.plan(query).await?.schema();
        let fields = schema.fields().iter();
        Ok(fields.map(|field| field.data_type().clone()).collect())
    }

    /// The Arrow type that one SQL type means.
    ///
    /// # Errors
    /// `Unsupported` for a type there is no column of.
    pub(crate) async fn arrow_type(&self, sql: &DataType) -> Result<ArrowType> {
        let mut types = self.arrow_types(&[sql]).await?;
        types
            .pop()
            .ok_or_else(|| Error::internal("a type was lost"))
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
}
