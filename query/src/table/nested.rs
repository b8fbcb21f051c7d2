//! A nested column of a data file as a table has it today.
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::PhysicalExpr;
use lake::shape::Shape;

/// A column with the fields it has in a table's schema: others than the file's, in another
/// order, of wider types or of other names.
#[derive(Clone, Debug, Eq)]
pub(super) struct NestedColumn {
    column: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    shape: Shape,
}

impl NestedColumn {
    /// `column` of a file as `field` of the table.
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, field: &FieldRef, shape: &Shape) -> Self {
        NestedColumn {
            column,
            field: Arc::clone(field),
            shape: shape.clone(),
        }
    }
}

// Deriving these fails on the trait object.
impl PartialEq for NestedColumn {
    fn eq(&self, other: &Self) -> bool {
        (&self.column, &self.field, &self.shape) == (&other.column, &other.field, &other.shape)
    }
}

impl Hash for NestedColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.hash(state);
        self.shape.hash(state);
    }
}

impl fmt::Display for NestedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.column)
    }
}

impl PhysicalExpr for NestedColumn {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(self.field.is_nullable())
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let column = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let shaped = self.shape.cast(&column, self.field.data_type())?;
        Ok(ColumnarValue::Array(shaped))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.remove(0);
        Ok(Arc::new(NestedColumn::new(
            column,
            &self.field,
            &self.shape,
        )))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
