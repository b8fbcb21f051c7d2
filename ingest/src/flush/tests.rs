//! What a flush makes of a commit that it got no answer to.

use catalog::{Catalog, Store};
use lake::Lake;

use super::*;
use crate::buffer::Bounds;
use crate::wal::{Log, LogOptions};

/// A flusher on a lake in memory.
async fn flusher(log: &Log, counters: &Arc<Counters>) -> Flusher {
    let lake = Lake::new(Catalog::open(Store::memory()).await.unwrap());
    let bounds = Bounds {
        flush_rows: 1,
        flush_bytes: 1,
        buffer_bytes: 1,
    };
    Flusher {
        tables: Tables {
            lake,
            branch: "main".to_owned(),
            counters: Arc::clone(counters),
        },
        buffer: Arc::new(Buffer::new("main", "me", bounds)),
        ingester: "me".to_owned(),
        retention: log.retention(),
        interval: Duration::from_secs(1),
        requests: mpsc::unbounded_channel().1,
        watermark: 0,
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_is_told_from_one_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let options = LogOptions {
        dir: folder.path().to_path_buf(),
        segment_bytes: 1 << 20,
        log_bytes: 1 << 20,
        window: 1,
    };
    let log = Log::open(options, Arc::clone(&counters)).unwrap();
    let flusher = flusher(&log, &counters).await;
    assert_eq!(flusher.standing("ours").await, Standing::Open);
    let sealed = Sealed {
        end: 3,
        tables: Vec::new(),
        rows: 0,
    };
    flusher
        .commit(&sealed, "ours", &mut Vec::new())
        .await
        .unwrap();
    let again = flusher.commit(&sealed, "ours", &mut Vec::new()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(flusher.standing("ours").await, Standing::Committed);
    assert_eq!(flusher.standing("theirs").await, Standing::Fenced);
}
