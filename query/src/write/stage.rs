//! From a parsed statement to the row work that carries it out.
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::Statement;

use super::{Staged, Target, WriteContext};
use crate::dml;

/// Stages the change of `target`'s rows that `statement` asks for.
///
/// # Errors
/// Those of the statement: nothing is changed then.
pub(crate) async fn stage(
    context: &WriteContext,
    target: &Target,
    statement: &Statement,
) -> Result<Staged> {
    match statement {
        Statement::Insert(insert) => dml::insert(context, target, insert).await,
        Statement::Delete(delete) => dml::delete(context, target, delete).await,
        Statement::Update(update) => dml::update(context, target, update).await,
        Statement::Merge(merge) => dml::merge_into(context, target, merge).await,
        Statement::Truncate(_) => dml::truncate(context, target).await,
        _ => Err(Error::internal(
            "a statement without row work reached row work",
        )),
    }
}
