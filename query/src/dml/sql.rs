//! Queries made of parts of a writing statement.
use std::ops::ControlFlow;

use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::rows::TARGET;
use crate::scope::OWN;

/// Parses a query of this crate's own making.
///
/// # Errors
/// `Internal` when it is none.
pub(super) fn query(text: &str) -> Result<Query> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    let parsed = parser.and_then(|mut parser| parser.parse_query());
    let wrong = |e| Error::internal(format!("could not parse {text:?}")).with_source(e);
    Ok(*parsed.map_err(wrong)?)
}

/// The one SELECT that `query` is.
///
/// # Errors
/// `Internal` when it is something else.
pub(super) fn select_mut(query: &mut Query) -> Result<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Ok(select),
        _ => Err(Error::internal("a query of a statement is no SELECT")),
    }
}

/// `name` as SQL spells it whatever it holds.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// The column `name` of `table`.
pub(super) fn column(table: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(table), quoted(name)])
}

/// `expr` under the name `name` in a SELECT.
pub(super) fn item(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr,
        alias: quoted(name),
    }
}

/// The statement's target under `alias`, for a FROM.
///
/// # Errors
/// None in practice.
pub(super) fn target_as(alias: &str) -> Result<TableWithJoins> {
    let alias = quoted(alias);
    let mut query = query(&format!(
        "SELECT 1 FROM \"{OWN}\".\"{OWN}\".{TARGET} AS {alias}"
    ))?;
    let from = &mut select_mut(&mut query)?.from;
    from.pop()
        .ok_or_else(|| Error::internal("a query of a statement has no FROM"))
}

/// `left AND right`.
pub(super) fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(nested(left)),
        op: BinaryOperator::And,
        right: Box::new(nested(right)),
    }
}

/// `(expr)`.
pub(super) fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
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

/// What a statement calls its target: the alias, or the last part of the name.
pub(super) fn name_of(factor: &TableFactor) -> Result<String> {
    match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        } => plain_alias(alias),
        TableFactor::Table { name, .. } => last_part(name),
        _ => Err(Error::invalid(format!("{factor} needs a name")).with_hint("add AS name")),
    }
}

fn plain_alias(alias: &TableAlias) -> Result<String> {
    match alias.columns.is_empty() {
        true => Ok(normal(&alias.name)),
        false => Err(
            Error::unsupported(format!("columns cannot be renamed in the alias {alias}"))
                .with_hint("rename them in a subquery"),
        ),
    }
}

/// The last part of `name`, as it is stored.
pub(super) fn last_part(name: &ObjectName) -> Result<String> {
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

/// Shortens `ref.namespace.table.column` and `namespace.table.column` to `table.column`:
/// in the queries made here the target has only its last name.
pub(super) fn shorten(expr: &mut Expr, table: &str) {
    struct Shortener<'a>(&'a str);
    impl VisitorMut for Shortener<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::CompoundIdentifier(parts) = expr
                && (3..=4).contains(&parts.len())
                && normal(&parts[parts.len() - 2]) == self.0
            {
                parts.drain(..parts.len() - 2);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = expr.visit(&mut Shortener(table));
}
