//! What a flush makes of a commit that it got no answer to.

use catalog::{Catalog, ErrorKind, Store};
use lake::Lake;

use super::*;
use crate::buffer::{Bounds, Sealed};
use crate::config::{BrokerConfig, Source};
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
        buffer: Arc::new(Buffer::new("main", "me", 0, bounds)),
        config: IngestConfig::new("unused", Source::Embedded(BrokerConfig::default()), vec![]),
        streams: crate::streams::Streams::new(&[]).follow(),
        log: log.reader(),
        births: Arc::new(BirthLog::open(std::path::Path::new("unused"), 0)),
        changed: Changed::default(),
        ingester: "me".to_owned(),
        floor: 0,
        unique: Arc::new(Unique::new(&[])),
        waiting: Vec::new(),
        history: log.history(),
        retention: log.retention(),
        requests: mpsc::unbounded_channel().1,
        watermark: 0,
        undecided: 0,
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
        depth: 1,
    };
    let log = Log::open(options, Arc::clone(&counters)).unwrap();
    let flusher = flusher(&log, &counters).await;
    assert_eq!(flusher.standing("ours").await, Standing::Open);
    let flush = |name: &str| {
        let sealed = Sealed {
            end: 3,
            tables: Vec::new(),
            rows: 0,
        };
        let mut flush = Flush::new(sealed, &flusher.config.dead_letter_table);
        flush.name = name.to_owned();
        flush
    };
    flusher.commit(&mut flush("ours")).await.unwrap();
    let again = flusher.commit(&mut flush("ours")).await;
    assert_eq!(again.unwrap_err().error.kind(), ErrorKind::Conflict);
    assert_eq!(flusher.standing("ours").await, Standing::Committed);
    assert_eq!(flusher.standing("theirs").await, Standing::Fenced);
}
