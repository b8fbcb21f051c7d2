//! Maintenance beside writers: nobody waits for it, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use catalog::{Catalog, CommitMeta, ErrorKind, Store, StoreConfig};
use futures::FutureExt;
use lake::maintain::CompactOptions;
use lake::{Append, Lake, RewriteKind};

use super::{compact, full, seen, status};
use crate::branching::{at, rows, staged_rewrite, two_branches};
use crate::support::{NOVEMBER, head, key, meta, row, spec};

async fn in_folder(folder: &std::path::Path) -> Lake {
    let config = StoreConfig {
        url: folder.to_str().unwrap().to_owned(),
        ..StoreConfig::default()
    };
    Lake::new(
        Catalog::open(Store::open(&config).await.unwrap())
            .await
            .unwrap(),
    )
}

/// Commits as an ingester does, with its watermark, until told to stop.
async fn ingest(lake: Lake, stop: Arc<AtomicBool>) -> i64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) || n < 100 {
        let table = head(&lake, &key()).await;
        let batch = row(NOVEMBER + n, &format!("p{}", n % 5), n);
        let files = lake.write(&table, vec![batch]).await.unwrap();
        let before = (n > 0).then_some(n as u64);
        let change = lake.append(vec![Append::to(&table, files)]).with_watermark(
            "one",
            before,
            n as u64 + 1,
        );
        let meta = CommitMeta::new("ingest", "flush").automatic();
        let committed = lake.catalog().commit("main", meta, Arc::new(change)).await;
        committed.expect("maintenance never makes an append fail");
        n += 1;
    }
    n
}

/// Compacts until `stop`; gives the commits made.
async fn keep_compacting(lake: Lake, stop: Arc<AtomicBool>, made: Arc<AtomicU64>) {
    let go_on = || futures::future::ready(true).boxed();
    while !stop.load(Ordering::Relaxed) {
        let options = CompactOptions::default();
        let done = lake.compact("main", &key(), &options, "test", &go_on).await;
        match done {
            Ok(report) => made.fetch_add(report.commits, Ordering::Relaxed),
            // Another process may be faster for a whole minute; the next run tries again.
            Err(e) if e.kind() == ErrorKind::Unavailable => 0,
            Err(e) => panic!("a compaction failed: {e}"),
        };
        tokio::task::yield_now().await;
    }
}

/// Ingest commits without a pause, its own process compacts, and so does another node: no
/// append fails, compaction makes progress, and no row is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ingest_and_two_compactors_share_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let lake = in_folder(folder.path()).await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let [stop_ingest, stop] = [false; 2].map(|stop| Arc::new(AtomicBool::new(stop)));
    let [here, there] = [0; 2].map(|made| Arc::new(AtomicU64::new(made)));
    let other = in_folder(folder.path()).await;
    let compactors = [(lake.clone(), &here), (other, &there)].map(|(lake, made)| {
        tokio::spawn(keep_compacting(lake, Arc::clone(&stop), Arc::clone(made)))
    });
    let ingesting = tokio::spawn(ingest(lake.clone(), Arc::clone(&stop_ingest)));
    while here.load(Ordering::Relaxed) < 8 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(!ingesting.is_finished() && !compactors[0].is_finished());
    }
    stop_ingest.store(true, Ordering::Relaxed);
    let committed = ingesting.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for compactor in compactors {
        compactor.await.unwrap();
    }
    compact(&lake, &full()).await;
    let rows = seen(&lake, &head(&lake, &key()).await).await;
    let mut cycles: Vec<i64> = rows.iter().map(|row| row.3).collect();
    cycles.sort_unstable();
    assert_eq!(cycles, (0..committed).collect::<Vec<_>>());
    assert_eq!(status(&lake, &key()).await.files, 1);
}

#[tokio::test]
async fn a_statement_that_came_first_wins_and_the_compaction_gives_up() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    let table = at(&lake, "main").await;
    let update = staged_rewrite(&lake, &table, &[1], &[100], RewriteKind::Overwrite).await;
    // The statement commits between the reading and the committing of the compaction.
    let compaction = staged_rewrite(&lake, &table, &[1, 2], &[1, 2], RewriteKind::Replace).await;
    lake.commit("main", meta(), &base, vec![update])
        .await
        .unwrap();
    let late = lake
        .commit("main", meta(), &base, vec![compaction])
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert_eq!(rows(&lake, "main").await, [2, 3, 100]);
    assert_eq!(compact(&lake, &full()).await.commits, 1);
    assert_eq!(rows(&lake, "main").await, [2, 3, 100]);
}
