//! The log as a whole: durable before acknowledged, read back in order, honest about damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::header;
use super::record::HEADER;

use super::*;

mod damage;
mod disk;

const TOPIC: &str = "a/b";

fn options(dir: &Path) -> LogOptions {
    LogOptions {
        dir: dir.to_owned(),
        segment_bytes: 1 << 20,
        log_bytes: 1 << 30,
        window: 16,
        depth: 1,
    }
}

fn open(options: LogOptions) -> Log {
    Log::open(options, Arc::default()).unwrap()
}

fn message(packet_id: u16, payload: &str) -> Message {
    Message {
        client: 1,
        packet_id,
        dup: false,
        received: 5,
        topic: Bytes::from_static(TOPIC.as_bytes()),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

/// Logs the messages and waits for their acknowledgement.
async fn put(log: &Log, messages: Vec<Message>) -> Vec<u16> {
    let (acks, mut acked) = mpsc::unbounded_channel();
    let writer = log.writer();
    let permit = writer.reserve(1).await.unwrap();
    permit.submit(Group { messages, acks }).unwrap();
    acked.recv().await.unwrap_or_default()
}

async fn read(reader: &mut LogReader, count: usize) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    while found.len() < count {
        for record in reader.next(2).await.unwrap() {
            let text = String::from_utf8(record.message.payload.to_vec()).unwrap();
            found.push((record.position, text));
        }
    }
    found
}

/// The one segment that holds records.
fn segment_file(dir: &Path) -> PathBuf {
    let files = segment::list(dir).unwrap();
    files.first().unwrap().1.clone()
}

fn record_bytes(payload: &str) -> usize {
    HEADER + TOPIC.len() + payload.len()
}

#[tokio::test]
async fn records_come_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(options(dir.path()));
    assert_eq!(
        put(&log, vec![message(1, "x"), message(2, "y")]).await,
        [1, 2]
    );
    let mut reader = log.reader();
    let expected = vec![(1, "x".to_owned()), (2, "y".to_owned())];
    assert_eq!(read(&mut reader, 2).await, expected);
    log.close().await;
    drop(log);

    let log = open(options(dir.path()));
    assert_eq!(log.last_record(), 2);
    assert!(log.losses().is_empty());
    assert_eq!(read(&mut log.reader(), 2).await, expected);
    put(&log, vec![message(3, "z")]).await;
    let mut reader = log.reader();
    reader.seek(2);
    assert_eq!(read(&mut reader, 1).await, [(3, "z".to_owned())]);
}

#[tokio::test]
async fn a_redelivery_is_acknowledged_and_not_logged_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let again = Message {
        dup: true,
        ..message(1, "x")
    };
    let log = open(options(dir.path()));
    put(&log, vec![message(1, "x")]).await;
    assert_eq!(put(&log, vec![again.clone()]).await, [1]);
    assert_eq!(log.last_record(), 1);
    drop(log);
    let log = open(options(dir.path()));
    assert_eq!(put(&log, vec![again, message(2, "y")]).await, [1, 2]);
    assert_eq!(log.last_record(), 2);
}

#[tokio::test]
async fn a_torn_tail_is_left_aside_and_its_position_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(options(dir.path()));
    put(&log, vec![message(1, "x"), message(2, "y")]).await;
    drop(log);
    let file = segment_file(dir.path());
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();

    let log = open(options(dir.path()));
    assert!(log.losses().is_empty());
    assert_eq!((log.last_record(), log.end() > 2), (1, true));
    let end = log.end();
    drop(log);
    let log = open(options(dir.path()));
    assert_eq!((log.last_record(), log.end()), (1, end));
    put(&log, vec![message(3, "z")]).await;
    let found = read(&mut log.reader(), 2).await;
    assert_eq!(found[0], (1, "x".into()));
    assert_eq!(found[1].1, "z");
    assert!(found[1].0 > 2);
}

#[tokio::test]
async fn a_flipped_byte_costs_one_record_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(options(dir.path()));
    put(
        &log,
        vec![message(1, "x"), message(2, "y"), message(3, "z")],
    )
    .await;
    drop(log);
    let file = segment_file(dir.path());
    let at = header::BYTES + record_bytes("x");
    for byte in [at, at + 5, at + record_bytes("y") - 1] {
        let whole = fs::read(&file).unwrap();
        let mut bad = whole.clone();
        bad[byte] ^= 0x40;
        fs::write(&file, &bad).unwrap();
        let log = open(options(dir.path()));
        let loss = &log.losses()[0];
        assert_eq!((loss.from, loss.to, loss.offset), (2, 2, at));
        assert!(loss.to_string().contains("positions 2 to 2"), "{loss}");
        let found = read(&mut log.reader(), 2).await;
        assert_eq!(found, [(1, "x".into()), (3, "z".into())]);
        drop(log);
        fs::write(&file, &whole).unwrap();
    }
}

#[tokio::test]
async fn committed_segments_go_when_the_window_has_moved_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogOptions {
        segment_bytes: 64,
        window: 4,
        ..options(dir.path())
    };
    let log = open(small);
    for id in 1..=10 {
        put(&log, vec![message(id, "payload")]).await;
    }
    assert_eq!(segment::list(dir.path()).unwrap().len(), 10);
    log.retention().committed(8);
    let bases: Vec<u64> = segment::list(dir.path())
        .unwrap()
        .iter()
        .map(|s| s.0)
        .collect();
    assert_eq!(bases, [7, 8, 9, 10]);
    let mut reader = log.reader();
    reader.seek(8);
    assert_eq!(read(&mut reader, 2).await.len(), 2);
}

#[tokio::test]
async fn a_full_log_holds_acknowledgements_until_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let full = LogOptions {
        log_bytes: 1,
        ..options(dir.path())
    };
    let log = open(full);
    put(&log, vec![message(1, "x")]).await;
    let mut second = Box::pin(put(&log, vec![message(2, "y")]));
    assert!(
        timeout(Duration::from_millis(50), &mut second)
            .await
            .is_err()
    );
    log.retention().committed(1);
    assert_eq!(second.await, [2]);
}

#[tokio::test]
async fn a_reader_that_lags_finds_everything_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes: 12 << 20,
        ..options(dir.path())
    };
    let log = open(options);
    let mut reader = log.reader();
    // 48 MiB, more than is kept in memory.
    let big = "x".repeat(3 << 20);
    for id in 1..=16 {
        put(&log, vec![message(id, &big), message(100 + id, "small")]).await;
    }
    let found = read(&mut reader, 32).await;
    let positions: Vec<u64> = found.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (1..=32).collect::<Vec<_>>());
    assert!(
        found
            .iter()
            .all(|(p, text)| (text.len() > 5) == (p % 2 == 1))
    );
    put(&log, vec![message(99, "last")]).await;
    assert_eq!(read(&mut reader, 1).await, [(33, "last".to_owned())]);
}

#[tokio::test]
async fn a_log_of_another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{:020}.wal", 1)), b"PHWAL999").unwrap();
    let error = Log::open(options(dir.path()), Arc::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("another version"), "{error}");
}

#[tokio::test]
async fn a_closed_log_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(options(dir.path()));
    let writer = log.writer();
    log.close().await;
    let (acks, _acked) = mpsc::unbounded_channel();
    let messages = vec![message(1, "x")];
    let permit = writer.reserve(1).await.unwrap();
    assert!(permit.submit(Group { messages, acks }).is_err());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Cut anywhere: what is before the cut comes back, in order, and nothing else.
    #[test]
    fn a_cut_log_gives_a_prefix(
        payloads in prop::collection::vec(".{0,40}", 1..12),
        segment_bytes in 60u64..400,
        cut in 0usize..2_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions { segment_bytes, ..options(dir.path()) };
        block_on(async {
            let log = open(options.clone());
            for payload in &payloads {
                put(&log, vec![message(1, payload)]).await;
            }
        });
        // The crash cuts the last segment that holds records.
        let (base, file) = segment::list(dir.path()).unwrap().pop().unwrap();
        let whole = fs::read(&file).unwrap();
        let kept = cut.min(whole.len());
        fs::write(&file, &whole[..kept]).unwrap();
        let mut expected = base as usize - 1;
        let mut end = header::BYTES;
        while expected < payloads.len() && end + record_bytes(&payloads[expected]) <= kept {
            end += record_bytes(&payloads[expected]);
            expected += 1;
        }
        block_on(async {
            let log = open(options);
            prop_assert!(log.losses().is_empty());
            put(&log, vec![message(7, "after")]).await;
            let found = read(&mut log.reader(), expected + 1).await;
            for (i, (position, text)) in found[..expected].iter().enumerate() {
                prop_assert_eq!(*position, i as u64 + 1);
                prop_assert_eq!(text, &payloads[i]);
            }
            prop_assert_eq!(&found[expected].1, "after");
            Ok(())
        })?;
    }
}
