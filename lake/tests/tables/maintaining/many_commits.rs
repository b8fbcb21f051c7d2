//! A table that is written to in small commits stays small in files and manifests.

use lake::maintain::CompactOptions;

use super::{compact, seen, status};
use crate::support::{NOVEMBER, head, key, lake, meta, row, spec};

/// Commits; `make bench-maintain` makes twenty times as many.
const COMMITS: i64 = 1_000;
/// Commits between two runs of maintenance.
const EVERY: i64 = 25;

#[tokio::test]
async fn files_and_manifests_stay_bounded_over_many_commits() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    let (mut most_files, mut most_manifests) = (0, 0);
    for n in 0..COMMITS {
        let rows = vec![row(NOVEMBER + n, &format!("p{}", n % 7), n)];
        let appended = lake.append_batches("main", &key(), rows, meta()).await;
        appended.unwrap();
        if n % EVERY == EVERY - 1 {
            compact(&lake, &CompactOptions::default()).await;
            let status = status(&lake, &key()).await;
            most_files = most_files.max(status.files);
            most_manifests = most_manifests.max(status.manifests);
        }
    }
    // Seven files in each of the four tiers that a thousand rows make: 1, 8, 64, 512.
    assert!(most_files <= 7 * 4, "{most_files} files");
    // Fifteen manifests in each of the tiers of up to 1,000 files, and the new ones.
    assert!(most_manifests <= 15 * 3 + 2, "{most_manifests} manifests");
    let rows = seen(&lake, &head(&lake, &key()).await).await;
    let mut cycles: Vec<i64> = rows.iter().map(|row| row.3).collect();
    cycles.sort_unstable();
    assert_eq!(cycles, (0..COMMITS).collect::<Vec<_>>());
}
