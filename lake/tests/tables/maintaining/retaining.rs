//! Retention by age, and expiry of snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::ErrorKind;
use chrono::Utc;
use lake::maintain::{CompactOptions, ExpireOptions, RETAIN, RetainOptions};
use lake::{Alter, Lake, TableSpec};

use super::{seen, status};
use crate::support::{commit, head, key, lake, meta, row, schema, spec};

const DAY: i64 = 86_400_000_000;

fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * 86_400))
}

/// A row for each of the days ago; two days share a file where `together`.
async fn with_rows(ages: &[i64], together: bool) -> Lake {
    let lake = lake().await;
    let spec = TableSpec {
        partition: if together {
            Vec::new()
        } else {
            spec().partition
        },
        ..spec()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    let now = Utc::now().timestamp_micros();
    let rows = ages
        .iter()
        .map(|age| row(now - age * DAY - DAY / 2, "p1", *age))
        .collect();
    let appended = lake.append_batches("main", &key(), rows, meta()).await;
    appended.unwrap();
    lake
}

async fn left(lake: &Lake) -> Vec<i64> {
    let rows = seen(lake, &head(lake, &key()).await).await;
    let mut ages: Vec<i64> = rows.iter().map(|row| row.3).collect();
    ages.sort_unstable();
    ages
}

#[tokio::test]
async fn whole_files_go_by_their_bounds() {
    let lake = with_rows(&[0, 5, 10, 20], false).await;
    let report = lake
        .retain("main", &key(), days(8), false, "test")
        .await
        .unwrap();
    assert_eq!((report.files, report.rows, report.rewritten), (2, 2, 0));
    assert_eq!(left(&lake).await, [0, 5]);
    let again = lake
        .retain("main", &key(), days(8), false, "test")
        .await
        .unwrap();
    assert_eq!(again.files, 0);
}

#[tokio::test]
async fn a_limit_by_hand_shows_in_the_status_and_heeds_a_protected_branch() {
    let lake = with_rows(&[0, 5, 10, 20], true).await;
    let table = head(&lake, &key()).await;
    let expire = ExpireOptions {
        older_than: Duration::ZERO,
        keep: 1,
    };
    for (age, exact, whole, partly) in [(8, false, 0, 0), (8, true, 0, 1), (0, false, 1, 0)] {
        let retain = RetainOptions {
            older_than: days(age),
            exact,
        };
        let compact = CompactOptions::default();
        let status = lake.maintenance_status(&table, &compact, expire, retain);
        let status = status.await.unwrap();
        assert_eq!(
            (status.over_age.files, status.partly_over_age),
            (whole, partly)
        );
    }
    let protect = lake.catalog().protect_branch("main", true, "test");
    protect.await.unwrap();
    for exact in [false, true] {
        let age = if exact { days(8) } else { days(0) };
        let refused = lake.retain("main", &key(), age, exact, "test").await;
        refused.unwrap_err();
    }
    assert_eq!(left(&lake).await, [0, 5, 10, 20]);
}

#[tokio::test]
async fn a_file_with_younger_rows_stays_unless_asked_to_be_exact() {
    let lake = with_rows(&[0, 5, 10, 20], true).await;
    let report = lake
        .retain("main", &key(), days(8), false, "test")
        .await
        .unwrap();
    assert_eq!(report.files, 0);
    let report = lake
        .retain("main", &key(), days(8), true, "test")
        .await
        .unwrap();
    assert_eq!((report.files, report.rows, report.rewritten), (0, 2, 1));
    assert_eq!(left(&lake).await, [0, 5]);
}

#[tokio::test]
async fn the_property_says_how_long_and_rows_without_a_time_stay() {
    let lake = with_rows(&[0, 5, 10], false).await;
    let timeless = crate::support::batch(&[(None, Some("p1"), None, Some(-1))]);
    let appended = lake
        .append_batches("main", &key(), vec![timeless], meta())
        .await;
    appended.unwrap();
    let nothing = lake
        .retain("main", &key(), None, true, "test")
        .await
        .unwrap();
    assert_eq!(nothing.files, 0);
    for (value, expected) in [("nonsense", vec![-1, 0, 5, 10]), ("7d", vec![-1, 0, 5])] {
        let table = head(&lake, &key()).await;
        let set = Alter::SetProperties(BTreeMap::from([(RETAIN.to_owned(), value.to_owned())]));
        let staged = lake.stage_alter(&table, &[set]).await.unwrap();
        commit(&lake, staged).await;
        lake.retain("main", &key(), None, true, "test")
            .await
            .unwrap();
        assert_eq!(left(&lake).await, expected, "{value}");
    }
    let status = status(&lake, &key()).await;
    assert_eq!(status.retain, days(7));
    let oldest = status.oldest_row.unwrap();
    assert!((Utc::now() - oldest).num_days() == 5, "{oldest}");
}

#[tokio::test]
async fn a_table_without_a_time_says_so() {
    let lake = lake().await;
    let spec = TableSpec {
        schema: schema(),
        ..TableSpec::default()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    let refused = lake
        .retain("main", &key(), days(1), false, "test")
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let by_property = lake.retain("main", &key(), None, false, "test").await;
    by_property.unwrap();
}

#[tokio::test]
async fn old_snapshots_go_and_past_commits_still_read() {
    let lake = with_rows(&[0], false).await;
    let past = lake.catalog().head("main").await.unwrap();
    for n in 0..9 {
        let rows = vec![row(Utc::now().timestamp_micros(), "p1", n)];
        let appended = lake.append_batches("main", &key(), rows, meta()).await;
        appended.unwrap();
    }
    let young = ExpireOptions {
        older_than: Duration::from_secs(3600),
        keep: 1,
    };
    let report = lake.expire("main", &key(), young, "test").await.unwrap();
    assert_eq!(report.snapshots, 0);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let options = ExpireOptions {
        older_than: Duration::ZERO,
        keep: 3,
    };
    let report = lake.expire("main", &key(), options, "test").await.unwrap();
    assert_eq!(report.snapshots, 7);
    let table = head(&lake, &key()).await;
    assert_eq!(table.metadata().snapshots().len(), 3);
    assert_eq!(left(&lake).await.len(), 10);
    let before = lake.table(&past, &key()).await.unwrap();
    assert_eq!(seen(&lake, &before).await.len(), 1);
    let again = lake.expire("main", &key(), options, "test").await.unwrap();
    assert_eq!(again.snapshots, 0);
}
