//! Row work: the files a writing statement adds and removes.
//!
//! Changes are copy-on-write. A first query finds the files with rows to change; those are
//! written anew from queries over their rows, and the others stay as they are.
mod assign;
mod change;
mod clauses;
mod insert;
mod merge;
mod rows;
mod sql;

pub(crate) use change::{delete, truncate, update};
pub(crate) use insert::{append_rows, insert};
pub(crate) use merge::merge_into;

use catalog::{Error, Result};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::error::stream_error;
use crate::statement::Prepared;

/// Refuses functions that give another value each time in the conditions of a change: it
/// takes several queries, which must all see the same rows.
fn refuse_volatile(prepared: &Prepared) -> Result<()> {
    let mut volatile = None;
    let looked = prepared.plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Projection(_) = node {
            return Ok(TreeNodeRecursion::Continue);
        }
        volatile = node
            .expressions()
            .into_iter()
            .find(|expr| expr.is_volatile());
        Ok(match volatile.is_some() {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    looked.map_err(stream_error)?;
    match volatile {
        Some(expr) => Err(Error::unsupported(format!(
            "{expr} differs each time, so that it cannot choose the rows of a change"
        ))
        .with_hint("store the rows to change in a table first")),
        None => Ok(()),
    }
}
