//! Sets of rows by file and number: those that a statement changes or deletes.
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use catalog::{Error, Result};
use object_store::path::Path;

/// Rows of a table's files. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Gone(Arc<HashMap<String, Rows>>);

/// Rows of one file: a bit for each.
#[derive(Clone, Debug, Default)]
struct Rows {
    bits: Vec<u64>,
    count: u64,
}

impl Rows {
    /// False when `row` is there already.
    fn add(&mut self, row: usize) -> bool {
        let (word, bit) = (row / 64, 1 << (row % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(new);
        new
    }

    fn has(&self, row: usize) -> bool {
        let word = self.bits.get(row / 64);
        word.is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

impl Gone {
    /// Adds the rows of `batch`, whose first columns are file and row number, null in both
    /// for none; false when one is there already.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let (files, numbers) = places(batch, [0, 1])?;
        let all = Arc::make_mut(&mut self.0);
        for (file, number) in files.iter().zip(numbers) {
            let (Some(file), Some(number)) = (file, number) else {
                continue;
            };
            let rows = match all.get_mut(file) {
                Some(rows) => rows,
                None => all.entry(file.to_owned()).or_default(),
            };
            if !rows.add(index(number)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Which rows of `batch` are not in here; its columns `at` are file and row number.
    pub(super) fn others(&self, batch: &RecordBatch, at: [usize; 2]) -> Result<BooleanArray> {
        let (files, numbers) = places(batch, at)?;
        let places = files.iter().zip(numbers);
        let others = places.map(|place| match place {
            (Some(file), Some(number)) => {
                let number = index(number)?;
                Ok(!self.0.get(file).is_some_and(|rows| rows.has(number)))
            }
            _ => Err(Error::internal("a row of a file has no place")),
        });
        let others: Vec<bool> = others.collect::<Result<_>>()?;
        Ok(others.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows of the file `path` are in here.
    pub(super) fn count(&self, path: &Path) -> u64 {
        self.0.get(path.as_ref()).map_or(0, |rows| rows.count)
    }

    /// The files with rows in here.
    pub(super) fn paths(&self) -> Result<HashSet<Path>> {
        let paths = self.0.keys().map(Path::parse);
        let paths: std::result::Result<_, _> = paths.collect();
        paths.map_err(|e| Error::internal("a file's path changed").with_source(e))
    }
}

fn index(number: i64) -> Result<usize> {
    usize::try_from(number).map_err(|e| Error::internal("a row number is negative").with_source(e))
}

fn places(batch: &RecordBatch, [file, row]: [usize; 2]) -> Result<(&StringArray, &Int64Array)> {
    let files = batch.column(file).as_string_opt::<i32>();
    let rows = batch.column(row).as_primitive_opt::<Int64Type>();
    files
        .zip(rows)
        .ok_or_else(|| Error::internal("rows have no places"))
}
