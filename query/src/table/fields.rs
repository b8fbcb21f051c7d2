//! Columns of data files found by Iceberg field id, so that a renamed column keeps its
//! values and a new column under an old name does not inherit any; and so what is nested
//! in them.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields as ArrowFields, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};
use datafusion::physical_plan::PhysicalExpr;
use lake::shape::Shape;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::nested::NestedColumn;

/// Columns with plain names and types, and beside each its field id.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    pub(crate) schema: SchemaRef,
    pub(crate) ids: Vec<Option<i32>>,
    /// The columns with the ids of the fields that are nested in them.
    with_ids: ArrowFields,
    names: Arc<Names>,
}

/// Field ids of the columns of files that carry none, by name; and of what is nested in
/// them, by the id of what holds it and its name.
type Names = HashMap<(Option<i32>, String), i32>;

impl Fields {
    /// The columns of `with_ids`, whose fields name their id in their metadata.
    pub(crate) fn new(with_ids: &Schema) -> Fields {
        Fields {
            ids: with_ids.fields().iter().map(|field| id(field)).collect(),
            schema: without_metadata(with_ids),
            with_ids: with_ids.fields().clone(),
            names: Arc::default(),
        }
    }

    /// With the name mapping of a table's properties, where it has one that can be read.
    pub(crate) fn with_mapping(mut self, names: Names) -> Fields {
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
        let mut ids = self.ids.clone();
        ids.push(Some(id));
        let with_ids = self.with_ids.iter().cloned();
        let field = Arc::new(field);
        fields.push(plain(&field));
        Fields {
            schema: Arc::new(Schema::new(fields)),
            ids,
            with_ids: with_ids.chain([field]).collect(),
            names: Arc::clone(&self.names),
        }
    }

    /// The columns at `indices` only.
    pub(crate) fn project(&self, indices: &[usize]) -> Result<Fields> {
        let chosen = |index: &usize| Arc::clone(&self.with_ids[*index]);
        Ok(Fields {
            schema: Arc::new(self.schema.project(indices)?),
            ids: indices.iter().map(|index| self.ids[*index]).collect(),
            with_ids: indices.iter().map(chosen).collect(),
            names: Arc::clone(&self.names),
        })
    }

    /// Where in the table each column of `file` stands; `None` for those the table lacks.
    /// Files without ids and without a mapping can only be read by name.
    fn places(&self, file: &Schema, by_name: bool) -> Vec<Option<usize>> {
        let fields = file.fields().iter();
        let place = |field: &FieldRef| match by_name {
            true => self.schema.index_of(field.name()).ok(),
            false => self.position(id(field)?),
        };
        fields.map(place).collect()
    }
}

impl PhysicalExprAdapterFactory for Fields {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let by_name = self.names.is_empty() && !has_ids(&file);
        let identified = match has_ids(&file) || by_name {
            true => Arc::clone(&file),
            false => {
                let fields = file.fields().iter();
                let fields = fields.map(|of| identified(None, of.name(), of, &self.names));
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            }
        };
        let places = self.places(&identified, by_name);
        // By the names of today; columns the table lacks get names that nothing asks for.
        let mut renamed: Vec<Field> = Vec::with_capacity(places.len());
        let mut wanted: Vec<FieldRef> = table.fields().iter().cloned().collect();
        let mut nested = HashMap::new();
        for (index, (field, place)) in identified.fields().iter().zip(&places).enumerate() {
            let Some(place) = *place else {
                let name = format!("\0column {index} of the file");
                renamed.push(plain(field).with_name(name));
                continue;
            };
            let own = self.schema.field(place);
            renamed.push(field.as_ref().clone().with_name(own.name()));
            if own.data_type().is_nested()
                && let Some(at) = table.fields().find(own.name()).map(|(at, _)| at)
            {
                let shape = shape(field, &self.with_ids[place], by_name)?;
                nested.insert(index, (Arc::clone(&wanted[at]), shape));
                // The column is taken as the file has it, and shaped afterwards.
                wanted[at] = Arc::new(renamed[index].clone());
            }
        }
        let (wanted, renamed) = (Schema::new(wanted), Schema::new(renamed));
        let by_name = DefaultPhysicalExprAdapterFactory;
        Ok(Arc::new(Adapter {
            by_name: by_name.create(Arc::new(wanted), Arc::new(renamed))?,
            file,
            nested,
        }))
    }
}

/// How the file's column becomes the table's.
fn shape(file: &Field, table: &Field, by_name: bool) -> Result<Shape> {
    let shape = match by_name {
        true => Shape::by_name(file.data_type(), table.data_type()),
        false => Shape::new(file.data_type(), table.data_type(), &|fields, wanted| {
            fields
                .iter()
                .position(|field| id(field).is_some() && id(field) == id(wanted))
        }),
    };
    Ok(shape?)
}

/// Adapts by name against the renamed file, then names the file's columns as they are.
#[derive(Debug)]
struct Adapter {
    by_name: Arc<dyn PhysicalExprAdapter>,
    file: SchemaRef,
    /// By the file's columns, those that are nested.
    nested: HashMap<usize, (FieldRef, Shape)>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let rename = |expr: Arc<dyn PhysicalExpr>| {
            let Some(column) = expr.as_any().downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let index = column.index();
            let column: Arc<dyn PhysicalExpr> =
                Arc::new(Column::new(self.file.field(index).name(), index));
            Ok(Transformed::yes(match self.nested.get(&index) {
                Some((field, shape)) => Arc::new(NestedColumn::new(column, field, shape)),
                None => column,
            }))
        };
        self.by_name.rewrite(expr)?.transform(rename).data()
    }
}

fn has_ids(file: &Schema) -> bool {
    file.fields().iter().any(|field| id(field).is_some())
}

/// `field` of a file, known by that name in what has the id `parent`, with the ids that a
/// table's name mapping has for it and for what is nested in it.
fn identified(parent: Option<i32>, name: &str, field: &FieldRef, names: &Names) -> FieldRef {
    let id = names.get(&(parent, name.to_owned())).copied();
    let Some(id) = id else {
        return Arc::clone(field);
    };
    let mut metadata = field.metadata().clone();
    metadata.insert(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
    let within = |name: &str, field: &FieldRef| identified(Some(id), name, field, names);
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            let fields = fields.iter();
            DataType::Struct(fields.map(|field| within(field.name(), field)).collect())
        }
        DataType::List(element) => DataType::List(within("element", element)),
        DataType::Map(entries, ordered) => {
            let mut entries = entries.as_ref().clone();
            if let DataType::Struct(fields) = entries.data_type() {
                let fields = fields.iter().zip(["key", "value"]);
                let fields = fields.map(|(field, name)| within(name, field));
                let fields = DataType::Struct(fields.collect());
                entries = entries.with_data_type(fields);
            }
            DataType::Map(Arc::new(entries), *ordered)
        }
        other => other.clone(),
    };
    let field = field.as_ref().clone().with_data_type(data_type);
    Arc::new(field.with_metadata(metadata))
}

fn id(field: &Field) -> Option<i32> {
    field
        .metadata()
        .get(PARQUET_FIELD_ID_META_KEY)?
        .parse()
        .ok()
}

fn plain(field: &FieldRef) -> Field {
    let field = field.as_ref().clone().with_metadata(HashMap::new());
    let data_type = plain_type(field.data_type());
    field.with_data_type(data_type)
}

fn plain_type(data_type: &DataType) -> DataType {
    let plain = |field: &FieldRef| Arc::new(plain(field));
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        DataType::List(element) => DataType::List(plain(element)),
        DataType::Map(entries, ordered) => DataType::Map(plain(entries), *ordered),
        other => other.clone(),
    }
}

/// Field ids are the storage's business; queries and clients see plain columns.
pub(crate) fn without_metadata(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(plain).collect();
    Arc::new(Schema::new(fields))
}
