//! Row work: the files a writing statement adds and removes.
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{Delete, Insert, Merge, Update};

use crate::statement::QueryResult;
use crate::write::{Staged, Target, WriteContext};

/// Stages `INSERT INTO` and `INSERT OVERWRITE`.
pub(crate) async fn insert(_: &WriteContext, _: &Target, _: &Insert) -> Result<Staged> {
    Err(missing("INSERT"))
}

/// Stages `DELETE FROM`.
pub(crate) async fn delete(_: &WriteContext, _: &Target, _: &Delete) -> Result<Staged> {
    Err(missing("DELETE"))
}

/// Stages `UPDATE`.
pub(crate) async fn update(_: &WriteContext, _: &Target, _: &Update) -> Result<Staged> {
    Err(missing("UPDATE"))
}

/// Stages `MERGE INTO`.
pub(crate) async fn merge_into(_: &WriteContext, _: &Target, _: &Merge) -> Result<Staged> {
    Err(missing("MERGE"))
}

/// Stages `TRUNCATE`.
pub(crate) async fn truncate(_: &WriteContext, _: &Target) -> Result<Staged> {
    Err(missing("TRUNCATE"))
}

/// Stages the rows of `rows` as an append to `target`, columns matched by name and cast to
/// the table's types: for `CREATE TABLE AS` and bulk loads.
pub(crate) async fn append_rows(_: &WriteContext, _: &Target, _: QueryResult) -> Result<Staged> {
    Err(missing("appending rows"))
}

fn missing(what: &str) -> Error {
    Error::unsupported(format!("{what} is not supported"))
}
