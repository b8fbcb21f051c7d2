//! The rows of a table that a statement changes, each with the file it is in.
use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::Store;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use object_store::path::Path;

use super::numbered::NumberedExec;
use super::{LakeTable, Request, together};

/// The column with the path of a row's file. The first character keeps the names of these
/// columns apart from those of tables.
pub(crate) const FILE: &str = "\u{1}file";
/// The column with a row's place among the rows of its file that are not deleted: the same
/// in every scan of one snapshot.
pub(crate) const ROW: &str = "\u{1}row";

/// A table's committed rows with [`FILE`] and [`ROW`].
pub(crate) struct TargetRows {
    table: LakeTable,
    schema: SchemaRef,
    only: Option<HashSet<Path>>,
}

impl TargetRows {
    /// The rows of `table`; those in the files `only`, where given.
    pub(crate) fn new(table: lake::Table, store: &Store, only: Option<HashSet<Path>>) -> Self {
        let table = LakeTable::new(table, store, None);
        let mut fields: Vec<FieldRef> = table.schema.fields().iter().cloned().collect();
        let file = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        fields.push(Arc::new(Field::new(FILE, file, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::Int64, false)));
        TargetRows {
            table,
            schema: Arc::new(Schema::new(fields)),
            only,
        }
    }

    /// The filters that are about the table's own columns only, which its files can be
    /// pruned by.
    fn own_filters(&self, filters: &[Expr]) -> Vec<Expr> {
        let own = |filter: &&Expr| {
            let columns = filter.column_refs();
            columns
                .iter()
                .all(|column| column.name() != FILE && column.name() != ROW)
        };
        filters.iter().filter(own).cloned().collect()
    }
}

#[async_trait]
impl TableProvider for TargetRows {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let asked = projection.unwrap_or(&all);
        let width = self.table.schema.fields().len();
        let columns: Vec<usize> = asked.iter().copied().filter(|at| *at < width).collect();
        let wanted = self.table.wanted(&columns, filters);
        let filters = self.own_filters(filters);
        let mut files = self.table.files(state, &filters, &wanted).await?;
        if let Some(only) = &self.only {
            files.retain(|(file, _)| only.contains(&file.path));
        }
        let request = Request {
            projection: &columns,
            file: Some(&self.schema.fields()[width]),
            limit: None,
            filtered: true,
        };
        let scans = self.table.scans(state, files, &wanted, &request).await?;
        let mut read = columns.clone();
        read.push(width);
        let mut rows = together(scans, || Ok(Arc::new(self.schema.project(&read)?)))?;
        if asked.contains(&(width + 1)) {
            rows = Arc::new(NumberedExec::new(rows, &self.schema.fields()[width + 1]));
        }
        in_order(rows, asked, &self.schema)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// The columns `asked` for, in that order.
fn in_order(
    rows: Arc<dyn ExecutionPlan>,
    asked: &[usize],
    schema: &Schema,
) -> Result<Arc<dyn ExecutionPlan>> {
    let columns = asked.iter().map(|at| {
        let name = schema.field(*at).name();
        let column: Arc<dyn PhysicalExpr> =
            Arc::new(Column::new_with_schema(name, &rows.schema())?);
        Ok((column, name.clone()))
    });
    let columns: Vec<_> = columns.collect::<Result<_>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
}

impl fmt::Debug for TargetRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetRows")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
