//! Queries put together from the parts of a writing statement, as trees: what a client wrote,
//! or gave as a parameter, is never turned into text and read again.
use std::ops::ControlFlow;

use catalog::{Error, Result};
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, TableWithJoins, Visit, Visitor,
};

use crate::error::stream_error;
use crate::scope::Scope;
use crate::sql;

/// `SELECT items FROM target join source WHERE condition`.
///
/// # Errors
/// None in practice.
pub(super) fn select(
    items: Vec<SelectItem>,
    target: TableFactor,
    join: Option<(JoinOperator, TableFactor)>,
    condition: Option<Expr>,
) -> Result<Query> {
    let mut query = sql::query("SELECT 1")?;
    let select = select_mut(&mut query)?;
    if !items.is_empty() {
        select.projection = items;
    }
    let joins = join.into_iter().map(|(join_operator, relation)| Join {
        relation,
        global: false,
        join_operator,
    });
    select.from = vec![TableWithJoins {
        relation: target,
        joins: joins.collect(),
    }];
    select.selection = condition;
    Ok(query)
}

fn select_mut(query: &mut Query) -> Result<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Ok(select),
        _ => Err(Error::internal("a query of a statement is no SELECT")),
    }
}

/// `query` without the first table of its FROM, for asking what else it reads.
pub(super) fn without_target(mut query: Query) -> Result<Query> {
    let select = select_mut(&mut query)?;
    let joined = select.from.drain(..).flat_map(|from| from.joins);
    let joined = joined.map(|join| TableWithJoins {
        relation: join.relation,
        joins: Vec::new(),
    });
    let joined: Vec<TableWithJoins> = joined.collect();
    select.from = joined;
    Ok(query)
}

/// `expr` as the column `name` of a SELECT.
pub(super) fn item(expr: Expr, name: String) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', name),
    }
}

/// The column `name` of the table that a FROM calls as `factor` says.
///
/// # Errors
/// `InvalidInput` when it has no name.
pub(super) fn column_of(factor: &TableFactor, name: &str) -> Result<Expr> {
    let mut parts = match (alias(factor), factor) {
        (Some(alias), _) => vec![alias.name.clone()],
        (None, TableFactor::Table { name, .. }) => {
            let parts = name.0.iter().filter_map(|part| part.as_ident());
            parts.cloned().collect()
        }
        _ => return Err(nameless(factor)),
    };
    parts.push(Ident::with_quote('"', name));
    Ok(Expr::CompoundIdentifier(parts))
}

/// Whether a subquery is in `expr`.
pub(super) fn has_subquery(expr: &Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Finder).is_break()
}

fn alias(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

/// What a statement calls a table: the alias, or the last part of the name.
///
/// # Errors
/// `InvalidInput` when it has no name.
pub(super) fn name_of(factor: &TableFactor) -> Result<String> {
    match (alias(factor), factor) {
        (Some(alias), _) => Ok(normal(&alias.name)),
        (None, TableFactor::Table { name, .. }) => last_part(name),
        _ => Err(nameless(factor)),
    }
}

fn nameless(factor: &TableFactor) -> Error {
    Error::invalid(format!("{factor} needs a name")).with_hint("add AS name")
}

/// Refuses that the target's columns are renamed.
///
/// # Errors
/// `Unsupported` then.
pub(super) fn check_target(factor: &TableFactor) -> Result<()> {
    match alias(factor) {
        Some(alias) if !alias.columns.is_empty() => Err(Error::unsupported(format!(
            "the columns of the target cannot be renamed, as in {alias}"
        ))),
        _ => Ok(()),
    }
}

/// The column of `target` that `name` is, which may say whose column it is.
///
/// # Errors
/// `InvalidInput` for a column of anything else.
pub(super) fn target_column(
    name: &ObjectName,
    target: &TableFactor,
    scope: &Scope,
) -> Result<String> {
    let column = last_part(name)?;
    let owner = ObjectName(name.0[..name.0.len() - 1].to_vec());
    let is_target = match (owner.0.len(), alias(target), target) {
        (0, ..) => true,
        (1, ..) => last_part(&owner)? == name_of(target)?,
        (_, None, TableFactor::Table { name, .. }) => {
            let full = |name: &ObjectName| {
                let reference = object_name_to_table_reference(name.clone(), true);
                reference
                    .map(|name| scope.full(&name))
                    .map_err(stream_error)
            };
            full(&owner)? == full(name)?
        }
        _ => false,
    };
    match is_target {
        true => Ok(column),
        false => Err(Error::invalid(format!(
            "{name} is no column of {}, the table that is changed",
            name_of(target)?
        ))
        .with_hint("name the column alone")),
    }
}

/// The last part of `name`, as it is stored.
fn last_part(name: &ObjectName) -> Result<String> {
    let part = name.0.last().and_then(|part| part.as_ident());
    part.map(normal)
        .ok_or_else(|| Error::invalid(format!("{name} is no name")))
}

/// Unquoted names are in lower case.
pub(super) fn normal(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
