//! The cut rule: whole batches after the snapshot's watermark, or Gone.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use async_trait::async_trait;
use catalog::{Catalog, Change, ChangeSet, CommitMeta, Store};

use super::*;

const INGESTER: &str = "i";

fn key() -> Key {
    "a.b".parse().unwrap()
}

fn buffer(flush_rows: usize, buffer_bytes: usize) -> Buffer {
    let bounds = Bounds {
        flush_rows,
        flush_bytes: usize::MAX,
        buffer_bytes,
    };
    Buffer::new("main", INGESTER, 0, bounds)
}

fn batch(columns: &[&str], value: f64) -> RecordBatch {
    let field = |name: &&str| Field::new(*name, DataType::Float64, true);
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let array = || Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let arrays = columns.iter().map(|_| array()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn publish(buffer: &Buffer, value: f64, end: u64) {
    buffer
        .publish(vec![(key(), batch(&["v"], value))], end)
        .unwrap();
}

struct Mark(u64);

#[async_trait]
impl Change for Mark {
    async fn apply(&self, _: &Snapshot) -> Result<ChangeSet> {
        let property = (format!("watermark.{INGESTER}"), self.0.to_string());
        Ok(ChangeSet {
            operations: Vec::new(),
            properties: BTreeMap::from([property]),
        })
    }
}

/// A snapshot with this watermark, 0 for none.
async fn snapshot(watermark: u64) -> Snapshot {
    let catalog = Catalog::open(Store::memory()).await.unwrap();
    if watermark == 0 {
        return catalog.head("main").await.unwrap();
    }
    let meta = CommitMeta::new("test", "mark");
    let change = Arc::new(Mark(watermark));
    catalog.commit("main", meta, change).await.unwrap()
}

async fn values(buffer: &Buffer, watermark: u64) -> Option<Vec<f64>> {
    match buffer.rows_after(&key(), &snapshot(watermark).await) {
        HotCut::Gone => None,
        HotCut::Empty => Some(Vec::new()),
        HotCut::Rows(rows) => {
            let mut found = Vec::new();
            for batch in rows.batches {
                found.extend(batch["v"].as_primitive::<Float64Type>().iter().flatten());
            }
            Some(found)
        }
    }
}

#[tokio::test]
async fn a_snapshot_and_its_cut_never_overlap_nor_gape() {
    let buffer = buffer(1_000, usize::MAX);
    publish(&buffer, 1.0, 10);
    publish(&buffer, 2.0, 20);
    let sealed = buffer.seal().unwrap();
    assert_eq!((sealed.end, sealed.rows), (20, 2));
    publish(&buffer, 3.0, 30);
    publish(&buffer, 4.0, 40);
    // The flush is under way: the old head sees all, the new one what came after.
    assert_eq!(values(&buffer, 0).await, Some(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(values(&buffer, 20).await, Some(vec![3.0, 4.0]));
    buffer.committed(20);
    assert_eq!(values(&buffer, 0).await, None);
    assert_eq!(values(&buffer, 20).await, Some(vec![3.0, 4.0]));
    let sealed = buffer.seal().unwrap();
    assert_eq!((sealed.end, sealed.rows), (40, 2));
    buffer.committed(40);
    assert_eq!(values(&buffer, 20).await, None);
    assert_eq!(values(&buffer, 40).await, Some(vec![]));
    assert!(buffer.seal().is_none());
}

#[tokio::test]
async fn nothing_decoded_is_empty_above_the_start_and_gone_below() {
    let buffer = buffer(1_000, usize::MAX);
    buffer.start_at(7);
    assert_eq!(values(&buffer, 7).await, Some(vec![]));
    assert_eq!(values(&buffer, 0).await, None);
    assert!(buffer.seal().is_none());
}

/// Regression: rows that a query had seen were missing until they were decoded again.
#[tokio::test]
async fn what_was_seen_does_not_vanish_while_decoding_starts_over() {
    let buffer = buffer(1_000, usize::MAX);
    publish(&buffer, 1.0, 10);
    publish(&buffer, 2.0, 20);
    buffer.start_at(10);
    assert_eq!(values(&buffer, 10).await, None);
    publish(&buffer, 2.0, 15);
    buffer.start_at(12);
    publish(&buffer, 2.0, 15);
    assert_eq!(values(&buffer, 12).await, None, "decoded up to 20 before");
    publish(&buffer, 3.0, 20);
    assert_eq!(values(&buffer, 12).await, Some(vec![2.0, 3.0]));
}

#[tokio::test]
async fn small_batches_are_merged() {
    let buffer = buffer(usize::MAX, usize::MAX);
    for n in 1..=1_000 {
        publish(&buffer, n as f64, n);
    }
    let HotCut::Rows(rows) = buffer.rows_after(&key(), &snapshot(0).await) else {
        panic!("no rows");
    };
    assert!(rows.batches.len() <= 10, "{} batches", rows.batches.len());
    let expected: Vec<f64> = (1..=1_000).map(f64::from).collect();
    assert_eq!(values(&buffer, 0).await, Some(expected));
}

#[tokio::test]
async fn thresholds_and_room() {
    let buffer = buffer(2, 1);
    assert!(matches!(buffer.due(), Due::Idle));
    buffer.wait_for_room().await;
    publish(&buffer, 1.0, 1);
    // One byte of room is one batch too much: decoding waits, and a flush is due.
    assert!(matches!(buffer.due(), Due::Now));
    let wait = tokio::time::timeout(std::time::Duration::from_millis(20), buffer.wait_for_room());
    assert!(wait.await.is_err());
    let end = buffer.seal().unwrap().end;
    assert!(matches!(buffer.due(), Due::Idle));
    buffer.committed(end);
    buffer.wait_for_room().await;
}
