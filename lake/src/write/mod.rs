//! Writing rows as a table's Parquet files: conform, split by partition, sort, encode,
//! put.

mod arrange;
mod conform;
mod encode;
mod layout;
mod leaves;
mod metrics;
mod order;
mod partition;
mod sink;
mod stream;
mod transform;

use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::{Error, Result, Store};
use futures::{Stream, StreamExt, TryStreamExt};
use iceberg::spec::DataFile;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};

use self::conform::Conform;
use self::encode::Encoded;
pub(crate) use self::layout::{Layout, SortBy};
pub(crate) use self::sink::Sink;
pub(crate) use self::stream::Bounds;
use crate::table::Table;

/// Rows that are sorted together; one file a partition comes of them.
const CHUNK_ROWS: usize = 4 << 20;
/// The same in bytes of Arrow memory.
const CHUNK_BYTES: usize = 512 << 20;
/// Batches are cut to this, so that a chunk never runs far over its size.
const SLICE_ROWS: usize = 1 << 20;
/// Files beyond this size go up in parts.
const PART_BYTES: usize = 32 << 20;
/// Files put at once.
const PARALLEL_PUTS: usize = 4;

/// Writes `batches` as files of `table` and returns them in no particular order.
pub(crate) async fn write(
    store: &Store,
    table: &Table,
    batches: Vec<RecordBatch>,
) -> Result<Vec<DataFile>> {
    let layout = Arc::new(Layout::of(table)?);
    let conform = Arc::new(Conform::new(table, &layout));
    let mut files = Vec::new();
    for chunk in chunks(&batches) {
        let (layout, conform) = (Arc::clone(&layout), Arc::clone(&conform));
        files.extend(write_chunk(store, layout, conform, chunk).await?);
    }
    Ok(files)
}

/// Writes the rows of a stream as files of `table`, with bounded memory.
pub(crate) async fn write_stream(
    store: &Store,
    table: &Table,
    batches: impl Stream<Item = Result<RecordBatch>>,
) -> Result<Vec<DataFile>> {
    stream::write(store, table, Layout::of(table)?, batches, stream::BOUNDS).await
}

/// The same with other bounds, laid out otherwise.
pub(crate) async fn write_bounded(
    store: &Store,
    table: &Table,
    layout: Layout,
    batches: impl Stream<Item = Result<RecordBatch>>,
    bounds: Bounds,
) -> Result<Vec<DataFile>> {
    stream::write(store, table, layout, batches, bounds).await
}

/// Writes rows that are sorted together, one file a partition.
async fn write_chunk(
    store: &Store,
    layout: Arc<Layout>,
    conform: Arc<Conform>,
    chunk: Vec<RecordBatch>,
) -> Result<Vec<DataFile>> {
    let encode = move || encode_chunk(&layout, &conform, &chunk);
    let encoded = tokio::task::spawn_blocking(encode).await;
    let encoded = encoded
        .map_err(|e| Error::internal("encoding Parquet files was interrupted").with_source(e))??;
    put_all(store, encoded).await
}

fn encode_chunk(layout: &Layout, conform: &Conform, chunk: &[RecordBatch]) -> Result<Vec<Encoded>> {
    let rows = conform.concat(chunk)?;
    let mut encoded = Vec::new();
    for part in arrange::arrange(layout, rows)? {
        encoded.push(encode::encode(layout, &part)?);
    }
    Ok(encoded)
}

/// The batches in groups of at most [`CHUNK_ROWS`] and about [`CHUNK_BYTES`].
fn chunks(batches: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut rows, mut bytes) = (Vec::new(), 0, 0);
    for slice in batches.iter().flat_map(slices) {
        let size = slice_bytes(&slice);
        if !chunk.is_empty() && (rows + slice.num_rows() > CHUNK_ROWS || bytes + size > CHUNK_BYTES)
        {
            chunks.push(std::mem::take(&mut chunk));
            (rows, bytes) = (0, 0);
        }
        rows += slice.num_rows();
        bytes += size;
        chunk.push(slice);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    (0..rows)
        .step_by(SLICE_ROWS)
        .map(move |at| batch.slice(at, SLICE_ROWS.min(rows - at)))
}

/// Bytes the rows take themselves, not the buffers they share with other slices.
pub(crate) fn slice_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| {
            let sliced = column.to_data().get_slice_memory_size();
            sliced.unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum()
}

async fn put_all(store: &Store, encoded: Vec<Encoded>) -> Result<Vec<DataFile>> {
    futures::stream::iter(encoded)
        .map(|file| async move {
            let path = store.path(file.data_file.file_path())?;
            put(store.object_store().as_ref(), &path, file.bytes).await?;
            Ok(file.data_file)
        })
        .buffer_unordered(PARALLEL_PUTS)
        .try_collect()
        .await
}

async fn put(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<()> {
    if bytes.len() <= PART_BYTES {
        store.put(path, bytes.into()).await?;
        return Ok(());
    }
    let upload = store.put_multipart(path).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    upload.put(bytes);
    upload.finish().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let column = Int64Array::from_iter_values(0..rows as i64);
        RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).unwrap()
    }

    #[test]
    fn chunks_are_bounded_and_keep_every_row() {
        let batches = vec![batch(CHUNK_ROWS + 5), batch(0), batch(7)];
        let rows = |chunk: &Vec<RecordBatch>| chunk.iter().map(RecordBatch::num_rows).sum();
        let rows: Vec<usize> = chunks(&batches).iter().map(rows).collect();
        assert_eq!(rows, [CHUNK_ROWS, 12]);
        assert!(chunks(&[batch(0)]).is_empty());
    }
}
