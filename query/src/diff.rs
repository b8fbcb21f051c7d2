//! The rows that one state of a table has and another has not.
//!
//! Only files that differ are read: a file both states have gives both the same rows. A
//! rewritten file holds most of its rows again, so what remains is the difference of two
//! multisets: every row counts as often as it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use catalog::{CommitId, Error, Key, Result, Snapshot};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_nested::expr_fn::range;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use datafusion::prelude::{DataFrame, SessionContext, abs};
use lake::{ScanFile, Table};

use crate::engine::Engine;
use crate::error::stream_error;
use crate::statement::{Prepared, QueryResult};
use crate::table::{LakeTable, without_metadata};

/// Some files of a table.
struct Part {
    table: Table,
    files: Vec<ScanFile>,
}

impl Engine {
    /// The rows of table `key` that `to` has and `from` has not, and the other way round:
    /// the columns of the newer state after a column `_change`, which is `insert` or
    /// `delete`. A changed row is deleted as it was and inserted as it is. Rows are compared
    /// and sorted by the newer state's columns; older rows lack what was added since.
    ///
    /// # Errors
    /// `NotFound` when a ref is not there or neither state has the table.
    pub async fn diff_rows(&self, key: &Key, from: &str, to: &str) -> Result<QueryResult> {
        let catalog = self.lake().catalog();
        let (before, after) = (catalog.resolve(from).await?, catalog.resolve(to).await?);
        let commits = [(from, before.id()), (to, after.id())];
        let commits = commits.map(|(name, id)| (name.to_owned(), id));
        let (older, newer) = self.differing(key, &before, &after).await?;
        let schema = without_metadata(&newer.table.arrow_schema());
        let plan = self.surplus(older, newer, &schema).map_err(stream_error)?;
        let (state, plan) = plan.into_parts();
        let prepared = Prepared {
            state: Arc::new(state),
            plan,
            commits: BTreeMap::<String, CommitId>::from(commits),
        };
        prepared.bind(&[]).await?.run()
    }

    /// The files that only the older and only the newer state has.
    async fn differing(
        &self,
        key: &Key,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Result<(Part, Part)> {
        let lake = self.lake();
        let older = match before.contains(key)? {
            true => Some(lake.table(before, key).await?),
            false => None,
        };
        let newer = match (&older, after.contains(key)?) {
            (Some(_), false) => None,
            // Where neither has it, this is the error that says so.
            _ => Some(lake.table(after, key).await?),
        };
        let diff = lake.diff_table(older.as_ref(), newer.as_ref()).await?;
        let same = older.as_ref().map(Table::uuid) == newer.as_ref().map(Table::uuid);
        // Columns are known by their ids, which only mean the same within one table: its
        // older files are read as the newer state's.
        let read = match (older, newer) {
            (Some(older), Some(newer)) if !same => [older, newer],
            (_, Some(table)) | (Some(table), None) => [table.clone(), table],
            (None, None) => return Err(Error::internal("a table was found in neither state")),
        };
        let [older, newer] = read;
        Ok((
            Part {
                table: older,
                files: diff.files_removed,
            },
            Part {
                table: newer,
                files: diff.files_added,
            },
        ))
    }

    /// Every row of `newer` beyond those `older` has as well, and the other way round.
    fn surplus(&self, older: Part, newer: Part, schema: &SchemaRef) -> DataFusionResult<DataFrame> {
        let names = ["_change", "_surplus", "_copies"].map(|name| free(schema, name));
        let [change, surplus, copies] = names.each_ref().map(String::as_str);
        let columns = || schema.fields().iter().map(|field| ident(field.name()));
        let counted = |rows: DataFrame, by: i64| {
            let columns = columns().chain([lit(by).alias(surplus)]);
            rows.select(columns.collect::<Vec<_>>())
        };
        let before = counted(self.rows(older, schema)?, -1)?;
        let after = counted(self.rows(newer, schema)?, 1)?;
        let total = sum(ident(surplus)).alias(surplus);
        let mut order: Vec<_> = schema
            .fields()
            .iter()
            .filter(|field| !field.data_type().is_nested())
            .map(|field| ident(field.name()).sort(true, true))
            .collect();
        order.push(ident(change).sort(true, true));
        let which = when(ident(surplus).gt(lit(0)), lit("insert")).otherwise(lit("delete"))?;
        before
            .union(after)?
            .aggregate(columns().collect(), vec![total])?
            .filter(ident(surplus).not_eq(lit(0)))?
            .with_column(copies, range(lit(0), abs(ident(surplus)), lit(1)))?
            .unnest_columns(&[copies])?
            .select(
                [which.alias(change)]
                    .into_iter()
                    .chain(columns())
                    .collect::<Vec<_>>(),
            )?
            .sort(order)
    }

    /// The rows in the files of `part` with the columns of `schema`; null where it lacks one.
    fn rows(&self, part: Part, schema: &SchemaRef) -> DataFusionResult<DataFrame> {
        let own = part.table.arrow_schema();
        let columns = schema.fields().iter().map(|field| {
            let value = match own.column_with_name(field.name()) {
                Some(_) => ident(field.name()),
                None => lit(ScalarValue::Null),
            };
            cast(value, field.data_type().clone()).alias(field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        let table = LakeTable::new(part.table, self.lake().store(), None);
        let context = SessionContext::new_with_state(self.base().clone());
        let rows = context.read_table(Arc::new(table.with_files(part.files)))?;
        rows.select(columns)
    }
}

/// `name`, or with more underscores where the table has such a column.
fn free(schema: &SchemaRef, name: &str) -> String {
    let mut name = name.to_owned();
    while schema.column_with_name(&name).is_some() {
        name.insert(0, '_');
    }
    name
}
