//! A disk that refuses: nothing is acknowledged until it is mended, and then everything.
//!
//! The next segment's name leads to `/dev/full`, where every write finds no space.

use std::os::unix::fs::symlink;

use super::*;
use crate::stats::Counters;

/// What the counters say of a stall, once it is or is no more.
async fn stalled(counters: &Counters, wanted: bool) -> Option<String> {
    for _ in 0..2_000 {
        let reason = counters.snapshot().stalled;
        if reason.is_some() == wanted {
            return reason;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for a stall to be {wanted}");
}

#[tokio::test]
async fn a_disk_that_refuses_holds_acknowledgements_until_it_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let small = LogOptions {
        segment_bytes: 1,
        ..options(dir.path())
    };
    let log = Log::open(small, Arc::clone(&counters)).unwrap();
    put(&log, vec![message(1, "1")]).await;
    let full = segment::path(dir.path(), 2);
    symlink("/dev/full", &full).unwrap();

    let mut second = Box::pin(put(&log, vec![message(2, "2"), message(3, "3")]));
    assert!(
        timeout(Duration::from_millis(50), &mut second)
            .await
            .is_err()
    );
    let reason = stalled(&counters, true).await.unwrap();
    assert!(reason.contains("No space left"), "{reason}");
    assert_eq!(counters.snapshot().acked, 1);
    assert_eq!(log.last_record(), 1);

    fs::remove_file(&full).unwrap();
    assert_eq!(second.await, [2, 3]);
    stalled(&counters, false).await;
    let third = Message {
        dup: true,
        ..message(3, "3")
    };
    assert_eq!(put(&log, vec![third]).await, [3]);
    drop(log);
    let log = open(options(dir.path()));
    assert!(log.losses().is_empty());
    let found = read(&mut log.reader(), 3).await;
    let expected = [(1, "1".into()), (2, "2".into()), (3, "3".into())];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_log_opens_on_a_full_disk_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(options(dir.path()));
    put(&log, vec![message(1, "1")]).await;
    drop(log);
    let log = open(options(dir.path()));
    symlink("/dev/full", segment::path(dir.path(), 2)).unwrap();
    assert_eq!(read(&mut log.reader(), 1).await, [(1, "1".to_owned())]);
    let mut second = Box::pin(put(&log, vec![message(2, "2")]));
    assert!(
        timeout(Duration::from_millis(50), &mut second)
            .await
            .is_err()
    );
    fs::remove_file(segment::path(dir.path(), 2)).unwrap();
    assert_eq!(second.await, [2]);
}

#[tokio::test]
async fn a_stalled_log_can_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(options(dir.path()));
    symlink("/dev/full", segment::path(dir.path(), 1)).unwrap();
    let mut first = Box::pin(put(&log, vec![message(1, "1")]));
    assert!(
        timeout(Duration::from_millis(50), &mut first)
            .await
            .is_err()
    );
    drop(first);
    // Dropping it joins its thread.
    drop(log);
}
