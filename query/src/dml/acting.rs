//! The answer to a change's question, kept: which rows are acted on and what they become.
use std::fs::File;
use std::io::{BufReader, BufWriter};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{Int32Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use catalog::{Error, Result};
use datafusion::execution::disk_manager::RefCountedTempFile;
use futures::{StreamExt, TryStreamExt};

use super::assign::Assign;
use super::gone::Gone;
use super::question::Answer;
use super::rows::{Rows, Work, filtering};
use crate::error::stream_error;

/// The column of an answer with the number of the clause that acts.
const CLAUSE: usize = 2;

/// The rows acted on.
pub(super) struct Acting {
    gone: Gone,
    rows: u64,
    /// For each clause, how its rows become rows of the target; `None` for a DELETE.
    assigns: Vec<Option<Assign>>,
    kept: Option<Kept>,
}

/// Rows in a file that goes when this does.
struct Kept {
    file: RefCountedTempFile,
    writer: StreamWriter<BufWriter<File>>,
}

impl Acting {
    /// Reads all of `answer`; what is written comes from here, so that nothing is asked again.
    ///
    /// # Errors
    /// `InvalidInput` when several source rows act on a row of the target,
    /// `ResourceExhausted` when there is no room for the answer.
    pub(super) async fn collect(work: &Work<'_>, answer: Answer) -> Result<Self> {
        let (table, schema) = (work.columns(), &answer.rows.schema);
        let assigns = answer.sources.into_iter();
        let assigns = assigns.map(|it| it.map(|it| Assign::new(&table, schema, it)).transpose());
        let assigns: Vec<Option<Assign>> = assigns.collect::<Result<_>>()?;
        let keeps = assigns.iter().any(Option::is_some);
        let mut acting = Acting {
            gone: Gone::default(),
            rows: 0,
            kept: keeps.then(|| Kept::new(work, schema)).transpose()?,
            assigns,
        };
        let mut stream = answer.rows.stream;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(stream_error)?;
            let acted = is_not_null(batch.column(CLAUSE)).map_err(filtering)?;
            let batch = filter_record_batch(&batch, &acted).map_err(filtering)?;
            if !acting.gone.add(&batch)? {
                return Err(twice(&answer.names));
            }
            acting.rows += batch.num_rows() as u64;
            if let Some(kept) = &mut acting.kept {
                kept.write(&batch)?;
            }
        }
        Ok(acting)
    }

    /// How many rows are acted on, those to insert included.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows of the target that are acted on.
    pub(super) fn gone(&self) -> &Gone {
        &self.gone
    }

    /// The rows that come: updated and inserted ones.
    pub(super) fn changed(self) -> Result<Rows> {
        let Some(kept) = self.kept else {
            return Ok(futures::stream::empty().boxed());
        };
        let assigns = self.assigns;
        let batches = futures::stream::iter(kept.read()?);
        let rows = batches.map(move |batch| {
            let changed = of_clauses(&assigns, &batch.map_err(keeping)?)?;
            Ok::<_, Error>(futures::stream::iter(changed.into_iter().map(Ok)))
        });
        Ok(rows.try_flatten().boxed())
    }
}

fn of_clauses(assigns: &[Option<Assign>], batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
    let numbers = batch.column(CLAUSE).as_primitive::<Int32Type>();
    let mut changed = Vec::new();
    for (number, assign) in assigns.iter().enumerate() {
        let Some(assign) = assign else {
            continue;
        };
        let number = arrow::array::Int32Array::new_scalar(number as i32);
        let own = eq(numbers, &number).map_err(filtering)?;
        if own.true_count() > 0 {
            let rows = filter_record_batch(batch, &own).map_err(filtering)?;
            changed.push(assign.batch(&rows)?);
        }
    }
    Ok(changed)
}

impl Kept {
    fn new(work: &Work<'_>, schema: &SchemaRef) -> Result<Self> {
        let runtime = work.context.engine().base().runtime_env();
        let file = runtime.disk_manager.create_tmp_file("changing rows");
        let file = file.map_err(stream_error)?;
        let writer = file.inner().as_file().try_clone().map_err(ArrowError::from);
        let writer = writer.and_then(|file| StreamWriter::try_new_buffered(file, schema));
        Ok(Kept {
            writer: writer.map_err(keeping)?,
            file,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(keeping)?;
        self.file.update_disk_usage().map_err(stream_error)
    }

    /// The batches; the file stays as long as they are read.
    fn read(mut self) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send> {
        self.writer.finish().map_err(keeping)?;
        let file = self.file;
        let reader = File::open(file.path()).map_err(ArrowError::from);
        let reader = reader.and_then(|file| StreamReader::try_new(BufReader::new(file), None));
        let reader = reader.map_err(keeping)?;
        Ok(reader.inspect(move |_| {
            let _open = &file;
        }))
    }
}

fn keeping(error: ArrowError) -> Error {
    Error::unavailable("the changed rows could not be kept on disk until they are written")
        .with_source(error)
}

fn twice([target, source]: &[String; 2]) -> Error {
    Error::invalid(format!(
        "more than one row of {source} matches a row of {target} to be changed"
    ))
    .with_hint("group the source so that it has one row for each row of the target")
}
