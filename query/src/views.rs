//! Views in queries: the view's own query, planned at the ref the view is read at.
use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Error, Result};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lake::{DIALECT, View};

use crate::error::stream_error;
use crate::names::FullName;
use crate::pin::{Cut, Pinning};
use crate::scope::Scope;
use crate::sql::{self, Parsed};

/// How deep views may read views.
const DEEPEST: usize = 16;
/// The largest plan of a view with all the views it reads: they multiply.
const LARGEST: usize = 5_000;

/// The view `name` as a table whose plan is inlined; `None` when the hot buffer has moved on.
///
/// Names without a ref in its query mean the ref the view is read at, names without a
/// namespace the one that was the default when it was made.
///
/// # Errors
/// `InvalidInput` for views that read themselves, nest too deep, or no longer fit the
/// tables they read, `Unsupported` for those whose SQL is for other engines.
pub(crate) async fn load(
    pinning: &mut Pinning<'_>,
    name: &FullName,
    view: &View,
    path: &[FullName],
) -> Result<Option<Arc<dyn TableProvider>>> {
    let path = longer(path, name)?;
    check_dialect(name, view)?;
    let scope = Scope {
        default_ref: name.reference.clone(),
        default_namespace: view.default_namespace.clone(),
        ..Scope::default()
    };
    let engine = pinning.engine;
    let within = |error: Error| of_view(name, &error);
    let Parsed::Query(statement) = sql::parse(engine.base(), &view.sql).map_err(within)? else {
        return Err(Error::corrupt(format!(
            "view {} holds no query",
            short(name)
        )));
    };
    let names = engine.names(&statement, &scope)?;
    if pinning.load_all(&names, &path).await.map_err(within)? == Cut::Gone {
        return Ok(None);
    }
    let refs = pinning.refs()?;
    let state = engine.planner(&statement, refs, &scope);
    let state = state.await.map_err(within)?;
    let plan = state.statement_to_plan(*statement).await;
    let plan = plan.map_err(stream_error).map_err(within)?;
    sql::check_plan(&plan)?;
    let plan = shaped(name, view, plan)?;
    if nodes(&plan) > LARGEST {
        return Err(Error::invalid(format!(
            "view {} is too large with the views it reads",
            short(name)
        )));
    }
    Ok(Some(Arc::new(ViewTable::new(plan, Some(view.sql.clone())))))
}

/// Refuses SQL of another engine: that it can be parsed here does not make it mean the same.
fn check_dialect(name: &FullName, view: &View) -> Result<()> {
    if view.dialect.eq_ignore_ascii_case(DIALECT) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "view {} has SQL of the dialect {:?} and none of {DIALECT:?}",
        short(name),
        view.dialect
    ))
    .with_hint(
        "write its query for this engine with CREATE OR REPLACE VIEW, under this or another name",
    ))
}

fn longer(path: &[FullName], name: &FullName) -> Result<Vec<FullName>> {
    let mut longer = path.to_vec();
    longer.push(name.clone());
    let chain = || {
        let names: Vec<String> = longer.iter().map(short).collect();
        names.join(" -> ")
    };
    if path.contains(name) {
        return Err(Error::invalid(format!("a view reads itself: {}", chain()))
            .with_hint("replace one of them with CREATE OR REPLACE VIEW"));
    }
    if longer.len() > DEEPEST {
        return Err(Error::invalid(format!(
            "views nest more than {DEEPEST} deep: {}",
            chain()
        )));
    }
    Ok(longer)
}

/// The columns the view was made with, whatever its tables have gained since.
fn shaped(name: &FullName, view: &View, plan: LogicalPlan) -> Result<LogicalPlan> {
    let wanted = view.schema.fields();
    let same = plan.schema().fields().len() == wanted.len()
        && plan
            .schema()
            .fields()
            .iter()
            .zip(wanted)
            .all(|(a, b)| a.name() == b.name());
    if same {
        return Ok(plan);
    }
    let columns = wanted.iter().map(|field| {
        let found = column(plan.schema(), field.name());
        found.ok_or_else(|| {
            Error::invalid(format!(
                "view {} no longer fits: its query has no column {:?}",
                short(name),
                field.name()
            ))
            .with_hint("replace it with CREATE OR REPLACE VIEW")
        })
    });
    let columns = columns.collect::<Result<Vec<Expr>>>()?;
    let plan = LogicalPlanBuilder::from(plan).project(columns);
    plan.and_then(LogicalPlanBuilder::build)
        .map_err(stream_error)
}

fn column(schema: &DFSchema, name: &str) -> Option<Expr> {
    let mut found = schema.iter().filter(|(_, field)| field.name() == name);
    let (qualifier, field) = found.next()?;
    Some(Expr::Column(Column::new(qualifier.cloned(), field.name())))
}

fn nodes(plan: &LogicalPlan) -> usize {
    let mut count = 0;
    let counted = plan.apply(|_| {
        count += 1;
        Ok(TreeNodeRecursion::Continue)
    });
    match counted {
        Ok(_) => count,
        Err(_) => usize::MAX,
    }
}

/// An error inside of a view, said to be there.
fn of_view(name: &FullName, error: &Error) -> Error {
    let text = match error.message().starts_with("view ") || error.message().contains("view reads")
    {
        true => error.message().to_owned(),
        false => format!("view {}: {}", short(name), error.message()),
    };
    let named = Error::new(error.kind(), text);
    match error.hint() {
        // A name like the missing one may be the view's own.
        Some(hint) if hint.contains(&short(name)) => named.with_hint(format!(
            "bring back what {} reads, or replace it with CREATE OR REPLACE VIEW",
            short(name)
        )),
        Some(hint) => named.with_hint(hint),
        None => named,
    }
}

fn short(name: &FullName) -> String {
    format!("{}.{}", name.namespace, name.table)
}

/// A view that nobody reads, as `information_schema` lists it.
#[derive(Debug)]
pub(crate) struct ListedView {
    pub(crate) schema: SchemaRef,
    pub(crate) sql: String,
}

#[async_trait]
impl TableProvider for ListedView {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.sql)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(
            "a view was scanned that the statement does not name".to_owned(),
        ))
    }
}
