//! Columns of data files found by Iceberg field id, so that a renamed column keeps its
//! values and a new column under an old name does not inherit any.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::PhysicalExpr;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

/// Columns with plain names and types, and beside each its field id.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) schema: SchemaRef,
    pub(crate) ids: Vec<Option<i32>>,
    /// Field ids of the columns of files that carry none, by name.
    names: Arc<HashMap<String, i32>>,
}

impl Fields {
    /// The columns of `with_ids`, whose fields name their id in their metadata.
    pub(crate) fn new(with_ids: &Schema) -> Fields {
        Fields {
            ids: with_ids.fields().iter().map(|field| id(field)).collect(),
            schema: without_metadata(with_ids),
            names: Arc::default(),
        }
    }

    /// With the name mapping of a table's properties, where it has one that can be read.
    pub(crate) fn with_mapping(mut self, names: HashMap<String, i32>) -> Fields {
        self.names = Arc::new(names);
        self
    }

    /// Where the column of field `id` stands.
    pub(crate) fn position(&self, id: i32) -> Option<usize> {
        self.ids.iter().position(|own| *own == Some(id))
    }

    /// With one more column at the end.
    pub(crate) fn and(&self, field: Field, id: i32) -> Fields {
        let mut fields: Vec<Field> = self.schema.fields().iter().map(plain).collect();
        fields.push(field.with_metadata(HashMap::new()));
        let mut ids = self.ids.clone();
        ids.push(Some(id));
        Fields {
            schema: Arc::new(Schema::new(fields)),
            ids,
            names: Arc::clone(&self.names),
        }
    }

    /// The columns at `indices` only.
    pub(crate) fn project(&self, indices: &[usize]) -> Result<Fields> {
        Ok(Fields {
            schema: Arc::new(self.schema.project(indices)?),
            ids: indices.iter().map(|index| self.ids[*index]).collect(),
            names: Arc::clone(&self.names),
        })
    }

    /// `file` with every column under the name it has in the table today; columns the
    /// table lacks get names that nothing asks for.
    fn renamed(&self, file: &Schema) -> Schema {
        let with_ids = file.fields().iter().any(|field| id(field).is_some());
        let name = |index: usize, field: &Field| {
            let id = match with_ids {
                true => id(field),
                false => self.names.get(field.name()).copied(),
            };
            match id.and_then(|id| self.position(id)) {
                Some(at) => self.schema.field(at).name().clone(),
                None => format!("\0column {index} of the file"),
            }
        };
        let fields = file.fields().iter().enumerate();
        let fields = fields.map(|(index, field)| plain(field).with_name(name(index, field)));
        Schema::new(fields.collect::<Vec<_>>())
    }
}

impl PhysicalExprAdapterFactory for Fields {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let with_ids = file.fields().iter().any(|field| id(field).is_some());
        // Files without ids and without a mapping can only be read by name.
        let renamed = match with_ids || !self.names.is_empty() {
            true => Arc::new(self.renamed(&file)),
            false => Arc::clone(&file),
        };
        let by_name = DefaultPhysicalExprAdapterFactory.create(table, renamed)?;
        Ok(Arc::new(Adapter { by_name, file }))
    }
}

/// Adapts by name against the renamed file, then names the file's columns as they are.
#[derive(Debug)]
struct Adapter {
    by_name: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rename = |expr: Arc<dyn PhysicalExpr>| {
            let Some(column) = expr.as_any().downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let index = column.index();
            let column = Column::new(self.file.field(index).name(), index);
            Ok(Transformed::yes(Arc::new(column) as _))
        };
        self.by_name.rewrite(expr)?.transform(rename).data()
    }
}

fn id(field: &Field) -> Option<i32> {
    field
        .metadata()
        .get(PARQUET_FIELD_ID_META_KEY)?
        .parse()
        .ok()
}

fn plain(field: &Arc<Field>) -> Field {
    field.as_ref().clone().with_metadata(HashMap::new())
}

/// Field ids are the storage's business; queries and clients see plain columns.
pub(crate) fn without_metadata(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new(fields))
}
