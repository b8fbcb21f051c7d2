//! The one query of a change: which rows are acted on, by which clause, and the new values.
use std::sync::Arc;

use arrow::datatypes::Schema;
use catalog::{Error, Key, Result};
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Expr as SqlExpr, MergeInsertExpr, MergeInsertKind, Query,
    SelectItem, Statement as SqlStatement,
};

use super::clauses::{Action, Changes, Kind};
use super::insert::position;
use super::rows::Work;
use super::sql::{check_target, column_of, item, name_of, select, target_column, without_target};
use crate::error::{into_datafusion, stream_error};
use crate::statement::QueryResult;
use crate::table::{FILE, ROW};

/// The column with the number of the clause that acts.
const ACTION: &str = "\u{1}action";
/// The column that is null where a target row has no source row.
const SOURCE: &str = "\u{1}source";
/// Columns of an answer before those of the target: file, row number, clause.
const PLACE: usize = 3;

/// A change as a query.
pub(super) struct Question {
    query: Query,
    /// What says whose rows are changed, for messages.
    pub(super) names: [String; 2],
    /// Whether it is a MERGE, whose result always hangs on the rows of the target.
    merge: bool,
    clauses: Vec<Asked>,
    width: usize,
}

/// One clause, by the columns of the query.
struct Asked {
    kind: Kind,
    condition: Option<usize>,
    /// The values it gives, by the column of the target.
    values: Vec<(usize, usize)>,
    /// What becomes of the other columns; `None` for a DELETE.
    rest: Option<Rest>,
}

#[derive(Clone, Copy)]
enum Rest {
    Kept,
    Null,
}

/// The rows that are acted on, on their way: file and row number, both null for a row to
/// insert, the number of the clause, null where none acts, and values.
pub(super) struct Answer {
    pub(super) rows: QueryResult,
    /// For each clause, where the columns of its rows are; `None` for a DELETE.
    pub(super) sources: Vec<Option<Vec<Option<usize>>>>,
    pub(super) names: [String; 2],
}

impl Question {
    /// # Errors
    /// `InvalidInput` for columns the table lacks and names that are not told apart.
    pub(super) fn new(work: &Work<'_>, changes: &Changes) -> Result<Self> {
        check_target(&changes.target)?;
        let names = names(changes)?;
        let table = work.columns();
        let mut items = Vec::new();
        let mut clauses = Vec::new();
        for clause in &changes.clauses {
            let condition = clause.condition.clone().map(|it| add(&mut items, it));
            let given = match &clause.action {
                Action::Delete => Vec::new(),
                Action::Update(set) => assigned(work, &table, changes, set)?,
                Action::Insert(insert) => inserted(work, &table, changes, insert)?,
            };
            let values = given.into_iter();
            let values = values.map(|(at, value)| (at, add(&mut items, value)));
            clauses.push(Asked {
                kind: clause.kind,
                condition,
                values: values.collect(),
                rest: match &clause.action {
                    Action::Delete => None,
                    Action::Update(_) => Some(Rest::Kept),
                    Action::Insert(_) => Some(Rest::Null),
                },
            });
        }
        let (target, condition) = (changes.target.clone(), changes.condition.clone());
        Ok(Question {
            query: select(items, target, changes.join(), condition)?,
            names,
            merge: changes.on.is_some(),
            clauses,
            width: table.fields().len(),
        })
    }

    /// The tables of the branch written to that must be as they are when the change is
    /// committed, since other rows of theirs could change the answer.
    pub(super) fn reads(&self, work: &Work<'_>) -> Result<Vec<Key>> {
        match self.merge {
            true => Ok(vec![work.target.key.clone()]),
            false => work.reads(without_target(self.query.clone())?),
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// Those of planning the statement's parts as a query.
    pub(super) async fn ask(self, work: &Work<'_>) -> Result<Answer> {
        let mut prepared = work.context.plan(self.query.clone()).await?;
        let LogicalPlan::Projection(top) = &prepared.plan else {
            return Err(Error::internal("a query of a statement is no projection"));
        };
        let values: Vec<Expr> = top.expr.iter().map(|e| e.clone().unalias()).collect();
        let input = with_places(&top.input, &work.provider(None))?;
        let columns = work.columns();
        prepared.plan = self.plan(input, &values, &columns).map_err(stream_error)?;
        Ok(Answer {
            rows: prepared.bind(&[]).await?.run()?,
            sources: self.sources(),
            names: self.names,
        })
    }

    /// `values` are the query's own columns, over `input`.
    fn plan(
        &self,
        input: LogicalPlan,
        values: &[Expr],
        table: &Schema,
    ) -> datafusion::error::Result<LogicalPlan> {
        let (owner, _) = input.schema().qualified_field_with_unqualified_name(FILE)?;
        let owner = owner.cloned();
        let of_target = |name: &str| Expr::Column(Column::new(owner.clone(), name));
        let (input, action) = match self.merge {
            false => (input, lit(0_i32)),
            // The clause is chosen below, so that it is chosen once for all of its values.
            true => {
                let action = self.action(&of_target(FILE), values).alias(ACTION);
                let mut all: Vec<Expr> = input
                    .schema()
                    .columns()
                    .into_iter()
                    .map(Expr::Column)
                    .collect();
                all.push(action);
                let plan = LogicalPlanBuilder::from(input).project(all)?.build()?;
                (plan, Expr::Column(Column::new_unqualified(ACTION)))
            }
        };
        let mut answer = vec![of_target(FILE), of_target(ROW), action.clone()];
        if self.keeps_columns() {
            answer.extend(table.fields().iter().map(|field| of_target(field.name())));
        }
        for (number, clause) in self.clauses.iter().enumerate() {
            answer.extend(clause.values.iter().map(|(_, at)| {
                let value = values[*at].clone();
                match self.merge {
                    true => only_when(action.clone().eq(lit(number as i32)), value),
                    false => value,
                }
            }));
        }
        let answer = answer.into_iter().enumerate();
        let answer = answer.map(|(at, expr)| expr.alias(format!("\u{1}{at}")));
        LogicalPlanBuilder::from(input).project(answer)?.build()
    }

    /// The number of the first clause that a pair or row is for.
    fn action(&self, file: &Expr, values: &[Expr]) -> Expr {
        let source = Expr::Column(Column::new_unqualified(SOURCE));
        let clauses = self.clauses.iter().enumerate().map(|(number, clause)| {
            let is_for = match clause.kind {
                Kind::Matched => file.clone().is_not_null().and(source.clone().is_not_null()),
                Kind::SourceOnly => file.clone().is_null(),
                Kind::TargetOnly => source.clone().is_null(),
            };
            let acts = match clause.condition {
                Some(at) => is_for.and(values[at].clone()),
                None => is_for,
            };
            (Box::new(acts), Box::new(lit(number as i32)))
        });
        Expr::Case(Case::new(None, clauses.collect(), None))
    }

    fn keeps_columns(&self) -> bool {
        let mut clauses = self.clauses.iter();
        clauses.any(|clause| matches!(clause.rest, Some(Rest::Kept)))
    }

    /// For each clause, which column of the answer each column of the target takes.
    fn sources(&self) -> Vec<Option<Vec<Option<usize>>>> {
        let mut next = PLACE + if self.keeps_columns() { self.width } else { 0 };
        let clauses = self.clauses.iter().map(|clause| {
            let columns = 0..self.width;
            let mut sources: Vec<Option<usize>> = match clause.rest? {
                Rest::Kept => columns.map(|at| Some(PLACE + at)).collect(),
                Rest::Null => columns.map(|_| None).collect(),
            };
            for (column, _) in &clause.values {
                sources[*column] = Some(next);
                next += 1;
            }
            Some(sources)
        });
        clauses.collect()
    }
}

impl Work<'_> {
    /// The target, when `query` reads it as other commits may have changed it.
    pub(super) fn reads(&self, query: Query) -> Result<Vec<Key>> {
        let scope = self.context.scope();
        let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        for name in self.context.engine().names(&statement, scope)? {
            let Some(working) = scope.working.get(&name.reference) else {
                continue;
            };
            let Ok(key) = name.key() else {
                continue;
            };
            // What a view reads is not looked into.
            let view = matches!(working.get(&key)?, Some(catalog::Content::View { .. }));
            if key == self.target.key || view {
                return Ok(vec![self.target.key.clone()]);
            }
        }
        Ok(Vec::new())
    }
}

fn add(items: &mut Vec<SelectItem>, expr: SqlExpr) -> usize {
    items.push(item(expr, format!("\u{1}value{}", items.len())));
    items.len() - 1
}

fn only_when(condition: Expr, value: Expr) -> Expr {
    let when = vec![(Box::new(condition), Box::new(value))];
    Expr::Case(Case::new(None, when, None))
}

/// What the statement calls target and source.
fn names(changes: &Changes) -> Result<[String; 2]> {
    let target = name_of(&changes.target)?;
    let source = changes.source.as_ref().map(name_of).transpose()?;
    if source.as_ref() == Some(&target) {
        return Err(Error::invalid(format!(
            "the target and the source are both called {target:?}"
        ))
        .with_hint("give one of them another name with AS"));
    }
    Ok([target, source.unwrap_or_default()])
}

/// The columns an UPDATE assigns, with their values.
fn assigned(
    work: &Work<'_>,
    table: &Schema,
    changes: &Changes,
    assignments: &[Assignment],
) -> Result<Vec<(usize, SqlExpr)>> {
    let mut values: Vec<(usize, SqlExpr)> = Vec::new();
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(Error::unsupported(format!(
                "{assignment}: columns are set one by one"
            )));
        };
        let column = target_column(name, &changes.target, work.context.scope())?;
        let at = position(table, &column)?;
        if values.iter().any(|(other, _)| *other == at) {
            return Err(Error::invalid(format!("column {name} is set twice")));
        }
        values.push((at, assignment.value.clone()));
    }
    Ok(values)
}

/// The columns an INSERT gives, with their values.
fn inserted(
    work: &Work<'_>,
    table: &Schema,
    changes: &Changes,
    insert: &MergeInsertExpr,
) -> Result<Vec<(usize, SqlExpr)>> {
    let scope = work.context.scope();
    let names = insert.columns.iter();
    let names = names.map(|name| target_column(name, &changes.target, scope));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    if names.is_empty() {
        names = table.fields().iter().map(|f| f.name().clone()).collect();
    }
    let values: Vec<SqlExpr> = match (&insert.kind, &changes.source) {
        (MergeInsertKind::Row, Some(source)) => {
            let columns = names.iter().map(|name| column_of(source, name));
            columns.collect::<Result<_>>()?
        }
        (MergeInsertKind::Values(values), _) if values.rows.len() == 1 => {
            values.rows.iter().flatten().cloned().collect()
        }
        _ => return Err(Error::invalid("INSERT in MERGE takes one row of values")),
    };
    if values.len() != names.len() {
        return Err(Error::invalid(format!(
            "INSERT names {} column(s) and has {} value(s)",
            names.len(),
            values.len()
        )));
    }
    let mut given: Vec<(usize, SqlExpr)> = Vec::new();
    for (name, value) in names.iter().zip(values) {
        let at = position(table, name)?;
        if given.iter().any(|(other, _)| *other == at) {
            return Err(Error::invalid(format!("column {name:?} is named twice")));
        }
        given.push((at, value));
    }
    Ok(given)
}

/// `plan` with the places of its first table's rows, and a mark on the rows of the other.
///
/// Names were resolved before, as in any query; so the table's own rows are what it sees
/// elsewhere, in a subquery say.
fn with_places(plan: &LogicalPlan, rows: &Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let mut inputs: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
    let placed = match plan {
        LogicalPlan::TableScan(scan) => {
            let source = provider_as_source(Arc::clone(rows));
            LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)
                .and_then(LogicalPlanBuilder::build)
        }
        LogicalPlan::Join(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Window(_) => inputs
            .first()
            .map(|first| with_places(first, rows))
            .transpose()?
            .ok_or_else(|| into_datafusion(Error::internal("a plan ends without a table")))
            .and_then(|first| {
                inputs[0] = first;
                if let Some(source) = inputs.get_mut(1) {
                    *source = marked(source)?;
                }
                plan.with_new_exprs(plan.expressions(), inputs)
            }),
        LogicalPlan::Aggregate(_) => {
            return Err(Error::invalid(
                "a value set for one row cannot be an aggregate of all rows",
            )
            .with_hint("use a subquery, as in SET a = (SELECT max(a) FROM t)"));
        }
        other => {
            let message = format!("a change is planned over a {}", other.display());
            return Err(Error::internal(message));
        }
    };
    placed.map_err(stream_error)
}

fn marked(plan: &LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let mark = std::iter::once(lit(true).alias(SOURCE));
    LogicalPlanBuilder::from(plan.clone())
        .project(columns.chain(mark))?
        .build()
}
