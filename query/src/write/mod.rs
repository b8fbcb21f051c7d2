//! Statements that change tables: what they work on, and what they leave to be committed.
mod alter;
mod bind;
mod context;
mod define;
mod load;
mod names;
mod table;
mod views;

use catalog::{Error, Key, Operation, Result, Snapshot};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Insert, Query, Statement as SqlStatement};
use lake::Lake;

pub(crate) use context::WriteContext;
pub(crate) use load::{IfMissing, IfThere, Load};
use names::{plain, target_name};

use crate::Engine;
use crate::dml;
use crate::grammar::Definition;
use crate::names::FullName;
use crate::scope::Scope;

/// The table a statement changes, as it is in the working state of its branch.
pub(crate) struct Target {
    /// The table's name on its branch.
    pub(crate) key: Key,
    /// The table.
    pub(crate) table: lake::Table,
}

/// What a statement has prepared: its files are written, nothing is committed.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// The changes of the catalog, at most one for each key.
    pub(crate) operations: Vec<Operation>,
    /// Rows inserted, deleted or updated.
    pub(crate) rows: u64,
    /// Tables whose rows the changes hang on: with other ones they would be wrong.
    pub(crate) reads: Vec<Key>,
}

/// A statement that changes tables.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// `INSERT`, `DELETE`, `UPDATE`, `MERGE INTO`, `TRUNCATE`
    Rows(Box<SqlStatement>),
    /// Of tables, views and namespaces.
    Define(Box<Definition>),
    /// Rows that a client sends as they are.
    Load(Load),
}

impl Write {
    /// The branch written to.
    ///
    /// # Errors
    /// Those of a target that is no table name, `InvalidInput` for targets on two branches.
    pub(crate) fn branch(&self, scope: &Scope) -> Result<String> {
        match self {
            Write::Rows(statement) => Ok(scope.full(&target_name(statement)?).reference),
            Write::Define(definition) => names::branch(definition, scope),
            Write::Load(load) => Ok(scope.full(load.name()).reference),
        }
    }

    /// Stages the change on `working`, the state of `branch`.
    ///
    /// # Errors
    /// Those of the statement: nothing is changed then.
    pub(crate) async fn stage(
        &self,
        context: &WriteContext,
        branch: &str,
        working: &Snapshot,
    ) -> Result<Staged> {
        match self {
            Write::Rows(statement) => stage_rows(context, working, statement).await,
            Write::Define(definition) => define::stage(context, branch, working, definition).await,
            Write::Load(load) => load.stage(context, working).await,
        }
    }

    /// The tables whose rows the statement reads, so that rows on their way must be in them.
    pub(crate) fn reads(
        &self,
        engine: &Engine,
        scope: &Scope,
        base: &Snapshot,
    ) -> Result<Vec<FullName>> {
        match self {
            // An INSERT adds to its target whatever that holds.
            Write::Rows(statement) => match statement.as_ref() {
                SqlStatement::Insert(Insert {
                    overwrite: false,
                    source,
                    ..
                }) => match source {
                    Some(source) => engine.names(&query(source.clone()), scope),
                    None => Ok(Vec::new()),
                },
                _ => engine.names(&Statement::Statement(statement.clone()), scope),
            },
            Write::Define(definition) => define::reads(definition, engine, scope, base),
            Write::Load(load) => Ok(load.replaced(scope)),
        }
    }

    /// Settles what must not move while the statement runs: refs it names by their place in
    /// the history, where a commit of its own counts.
    pub(crate) async fn settle(&mut self, lake: &Lake) -> Result<()> {
        match self {
            Write::Define(definition) => define::settle(definition, lake).await,
            Write::Rows(_) | Write::Load(_) => Ok(()),
        }
    }

    /// Whether the answer tells how many rows were affected.
    pub(crate) fn counts_rows(&self) -> bool {
        match self {
            Write::Rows(_) => true,
            Write::Define(definition) => {
                matches!(definition.as_ref(), Definition::CreateTable(create) if create.query.is_some())
            }
            Write::Load(_) => true,
        }
    }

    /// What the answer begins with, such as `INSERT`.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Write::Rows(statement) => match statement.as_ref() {
                SqlStatement::Insert(_) => "INSERT",
                SqlStatement::Delete(_) => "DELETE",
                SqlStatement::Update(_) => "UPDATE",
                SqlStatement::Merge(_) => "MERGE",
                _ => "TRUNCATE",
            },
            Write::Define(definition) => definition.verb(),
            Write::Load(_) => "INSERT",
        }
    }

    /// The statement in one line, such as `INSERT INTO pumps.telemetry`.
    pub(crate) fn title(&self, scope: &Scope) -> String {
        let name = match self {
            Write::Rows(statement) => match target_name(statement) {
                Ok(name) => plain(&name, scope),
                Err(_) => String::new(),
            },
            Write::Define(definition) => names::subject(definition, scope),
            Write::Load(load) => plain(load.name(), scope),
        };
        let words = match self.verb() {
            "INSERT" => "INSERT INTO",
            "DELETE" => "DELETE FROM",
            "MERGE" => "MERGE INTO",
            "TRUNCATE" => "TRUNCATE TABLE",
            "ROLLBACK" => "CALL rollback",
            other => other,
        };
        format!("{words} {name}")
    }
}

fn query(query: Box<Query>) -> Statement {
    Statement::Statement(Box::new(SqlStatement::Query(query)))
}

async fn stage_rows(
    context: &WriteContext,
    working: &Snapshot,
    statement: &SqlStatement,
) -> Result<Staged> {
    let name = target_name(statement)?;
    let name = context.scope().full(&name);
    let target = table::target(context, working, &name).await?;
    match statement {
        SqlStatement::Insert(insert) => dml::insert(context, &target, insert).await,
        SqlStatement::Delete(delete) => dml::delete(context, &target, delete).await,
        SqlStatement::Update(update) => dml::update(context, &target, update).await,
        SqlStatement::Merge(merge) => dml::merge_into(context, &target, merge).await,
        SqlStatement::Truncate(_) => dml::truncate(context, &target).await,
        _ => Err(Error::internal(
            "a statement without row work reached row work",
        )),
    }
}
