//! Merging sorted files: a row group of each in memory, and rows out in order.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::row::{OwnedRow, Row, RowConverter, Rows, SortField};
use catalog::{Error, Result};
use futures::TryStreamExt;

use crate::error;
use crate::read::{BATCH_BYTES, BATCH_ROWS, RowStream};
use crate::write::{Layout, Sink, SortBy, slice_bytes};

/// Why a merge did not go through.
pub(super) enum Failure {
    /// A file is not in the order it claims.
    Unsorted,
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Puts the rows of `files` into `sink` in the order of `layout`. Equal rows keep the
/// order of their files.
pub(super) async fn merge(
    layout: &Layout,
    files: Vec<RowStream>,
    sink: &mut Sink<'_>,
) -> Result<(), Failure> {
    let mut cursors = Vec::with_capacity(files.len());
    for (order, rows) in files.into_iter().enumerate() {
        cursors.extend(Cursor::start(order, rows, &layout.sort).await?);
    }
    let mut heap = Heap::of(cursors);
    let mut window = Window::default();
    while let Some(first) = heap.first() {
        window.take(first);
        heap.advance(&layout.sort).await?;
        if window.rows.len() >= BATCH_ROWS || window.bytes >= BATCH_BYTES {
            sink.push(&window.close(&mut heap)?).await?;
        }
    }
    if !window.rows.is_empty() {
        sink.push(&window.close(&mut heap)?).await?;
    }
    Ok(())
}

/// One file at one of its rows.
struct Cursor {
    /// Which of the files it is.
    order: usize,
    rows: RowStream,
    batch: RecordBatch,
    /// What one of its rows takes, about.
    row_bytes: usize,
    keys: Rows,
    at: usize,
    /// Where the batch is in the window, once one of its rows was taken.
    in_window: Option<usize>,
}

impl Cursor {
    /// At the first row; none when there is none.
    async fn start(
        order: usize,
        mut rows: RowStream,
        sort: &[SortBy],
    ) -> Result<Option<Self>, Failure> {
        let Some(batch) = rows.try_next().await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            order,
            rows,
            keys: keys(&batch, sort)?,
            row_bytes: row_bytes(&batch),
            batch,
            at: 0,
            in_window: None,
        }))
    }

    fn key(&self) -> Row<'_> {
        self.keys.row(self.at)
    }

    /// Goes to the next row; false when there is none.
    async fn advance(&mut self, sort: &[SortBy]) -> Result<bool, Failure> {
        let last = self.at;
        if last + 1 < self.batch.num_rows() {
            self.at += 1;
            return match self.keys.row(last) <= self.key() {
                true => Ok(true),
                false => Err(Failure::Unsorted),
            };
        }
        let last: OwnedRow = self.key().owned();
        let Some(batch) = self.rows.try_next().await? else {
            return Ok(false);
        };
        self.keys = keys(&batch, sort)?;
        self.row_bytes = row_bytes(&batch);
        self.batch = batch;
        (self.at, self.in_window) = (0, None);
        match last.row() <= self.key() {
            true => Ok(true),
            false => Err(Failure::Unsorted),
        }
    }
}

fn row_bytes(batch: &RecordBatch) -> usize {
    slice_bytes(batch) / batch.num_rows().max(1)
}

fn keys(batch: &RecordBatch, sort: &[SortBy]) -> Result<Rows> {
    let columns = sort.iter().map(|by| batch.column(by.column).clone());
    let columns: Vec<ArrayRef> = columns.collect();
    let fields = columns.iter().zip(sort);
    let fields = fields
        .map(|(column, by)| SortField::new_with_options(column.data_type().clone(), by.options));
    RowConverter::new(fields.collect())
        .and_then(|converter| converter.convert_columns(&columns))
        .map_err(error::arrow("could not compare rows"))
}

/// The cursors, the one with the least row first.
struct Heap {
    cursors: Vec<Cursor>,
}

impl Heap {
    fn of(cursors: Vec<Cursor>) -> Self {
        let mut heap = Self { cursors };
        for at in (0..heap.cursors.len() / 2).rev() {
            heap.sink(at);
        }
        heap
    }

    fn first(&mut self) -> Option<&mut Cursor> {
        self.cursors.first_mut()
    }

    async fn advance(&mut self, sort: &[SortBy]) -> Result<(), Failure> {
        if let Some(first) = self.cursors.first_mut()
            && !first.advance(sort).await?
        {
            self.cursors.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    /// Moves the cursor at `at` below all that are less.
    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.cursors.len() && self.before(child, least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.cursors.swap(at, least);
            at = least;
        }
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.cursors[a], &self.cursors[b]);
        a.key().cmp(&b.key()).then(a.order.cmp(&b.order)) == Ordering::Less
    }
}

/// The rows taken for the next batch, by where they are.
#[derive(Default)]
struct Window {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    bytes: usize,
}

impl Window {
    fn take(&mut self, cursor: &mut Cursor) {
        let batch = *cursor.in_window.get_or_insert_with(|| {
            self.batches.push(cursor.batch.clone());
            self.batches.len() - 1
        });
        self.rows.push((batch, cursor.at));
        self.bytes += cursor.row_bytes;
    }

    /// The rows as one batch; the window is empty then.
    fn close(&mut self, heap: &mut Heap) -> Result<RecordBatch> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let merged = interleave_record_batch(&batches, &self.rows);
        for cursor in &mut heap.cursors {
            cursor.in_window = None;
        }
        self.batches.clear();
        self.rows.clear();
        self.bytes = 0;
        merged.map_err(error::arrow("could not merge rows"))
    }
}
