//! Numbers the rows of each file of a scan.
use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{FieldRef, Int32Type, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;

use super::target::FILE;

/// Adds a column that counts the rows of each file from 0, in the order they are in.
///
/// To plans it is a leaf: were its input filtered, limited or split within a file by an
/// optimizer, two scans would give one row different numbers.
#[derive(Debug)]
pub(super) struct NumberedExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl NumberedExec {
    /// `input` has whole files, one after another, and their paths in [`FILE`].
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, number: &FieldRef) -> Self {
        let mut fields: Vec<FieldRef> = input.schema().fields().iter().cloned().collect();
        fields.push(Arc::clone(number));
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        NumberedExec {
            input,
            schema,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for NumberedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberedExec")
    }
}

impl ExecutionPlan for NumberedExec {
    fn name(&self) -> &str {
        "NumberedExec"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = Arc::clone(&self.schema);
        let mut counter = Counter::default();
        let numbered = input.map(move |batch| counter.number(&batch?, &schema));
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, numbered)))
    }
}

#[derive(Default)]
struct Counter {
    file: String,
    next: i64,
}

impl Counter {
    fn number(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let missing = || DataFusionError::Internal("rows to number have no file".to_owned());
        let files = batch.column_by_name(FILE).ok_or_else(missing)?;
        let files = files.as_dictionary_opt::<Int32Type>().ok_or_else(missing)?;
        let names = files.values().as_string_opt::<i32>().ok_or_else(missing)?;
        let mut last = None;
        let numbers = files.keys().values().iter().map(|key| {
            if last != Some(*key) {
                last = Some(*key);
                let name = names.value(*key as usize);
                if name != self.file {
                    name.clone_into(&mut self.file);
                    self.next = 0;
                }
            }
            self.next += 1;
            self.next - 1
        });
        let numbers = Int64Array::from_iter_values(numbers);
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(numbers));
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::DictionaryArray;
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn every_file_is_counted_from_zero_across_batches() {
        let file = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = vec![
            Field::new(FILE, file, false),
            Field::new("row", DataType::Int64, false),
        ];
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut counter = Counter::default();
        let mut numbers = Vec::new();
        for files in [vec!["a", "a"], vec!["a", "b", "b"], vec!["b"], vec!["c"]] {
            let files: DictionaryArray<Int32Type> = files.into_iter().collect();
            let batch = RecordBatch::try_from_iter([(FILE, Arc::new(files) as _)]).unwrap();
            let numbered = counter.number(&batch, &schema).unwrap();
            let column = numbered
                .column(1)
                .as_primitive::<arrow::datatypes::Int64Type>();
            numbers.extend(column.values().iter().copied());
        }
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 0]);
    }
}
