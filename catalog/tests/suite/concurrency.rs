//! Several catalogs on one folder, as several processes would be.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use catalog::{Catalog, Change, ChangeSet, Error, ErrorKind, Operation, Result, Snapshot};

use crate::{commit, delete, folder, head_id, key, memory, meta, put, sql, view};

const TASKS: usize = 8;
const COMMITS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disjoint_commits_of_four_catalogs_all_stand() {
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    let mut catalogs = Vec::new();
    for _ in 0..4 {
        catalogs.push(folder(dir.path()).await);
    }
    for task in 0..TASKS {
        let catalog = catalogs[task % catalogs.len()].clone();
        tasks.push(tokio::spawn(async move {
            let mut made = Vec::new();
            for i in 0..COMMITS {
                let snapshot = commit_anew(&catalog, task, i).await;
                assert_eq!(sql(&snapshot, &format!("t{task}")), Some(i.to_string()));
                made.push(snapshot.id());
            }
            made
        }));
    }
    let mut made = HashSet::new();
    for task in tasks {
        made.extend(task.await.unwrap());
    }
    assert_eq!(made.len(), TASKS * COMMITS);
    let cold = folder(dir.path()).await;
    let log = cold.log("main", usize::MAX).await.unwrap();
    let held: HashSet<_> = log.iter().map(|commit| commit.id).collect();
    assert_eq!(
        log.len(),
        TASKS * COMMITS + 1,
        "the root, and each commit once"
    );
    assert!(made.is_subset(&held));
    assert!(log.is_sorted_by(|newer, older| newer.time >= older.time));
    let head = cold.head("main").await.unwrap();
    for task in 0..TASKS {
        assert_eq!(
            sql(&head, &format!("t{task}")),
            Some((COMMITS - 1).to_string())
        );
    }
}

/// Commits to the task's own key, knowing only this catalog's view of the head.
async fn commit_anew(catalog: &Catalog, task: usize, i: usize) -> Snapshot {
    let operations = vec![put(&format!("t{task}"), i)];
    let base = head_id(catalog, "main").await;
    catalog
        .commit_operations("main", meta(i), base, operations)
        .await
        .unwrap()
}

/// Adds one to a counter kept as a view.
struct Increment(AtomicUsize);

#[async_trait]
impl Change for Increment {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let count: usize = sql(head, "count").map_or(0, |text| text.parse().unwrap());
        let operation = Operation::Put {
            key: key("count"),
            content: view(count + 1),
        };
        Ok(ChangeSet {
            operations: vec![operation],
            ..ChangeSet::default()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_is_applied_again_after_a_lost_race() {
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let catalog = folder(dir.path()).await;
        tasks.push(tokio::spawn(async move {
            for i in 0..20 {
                let change = Arc::new(Increment(AtomicUsize::new(0)));
                catalog.commit("main", meta(i), change).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let head = folder(dir.path()).await.head("main").await.unwrap();
    assert_eq!(sql(&head, "count"), Some("80".to_string()));
}

#[tokio::test]
async fn one_entry_publishes_a_whole_group() {
    let catalog = memory().await;
    let changes: Vec<_> = (0..30)
        .map(|_| Arc::new(Increment(AtomicUsize::new(0))))
        .collect();
    let commits = changes
        .iter()
        .map(|change| catalog.commit("main", meta("group"), change.clone()));
    let snapshots = futures::future::try_join_all(commits).await.unwrap();
    let counts: HashSet<_> = snapshots.iter().map(|s| sql(s, "count").unwrap()).collect();
    assert_eq!(
        counts.len(),
        30,
        "each caller gets the snapshot of its own commit"
    );
    let entries = entries(&catalog, "main").await;
    assert!(
        entries <= 3,
        "{entries} entries for 30 concurrent commits and the root"
    );
}

async fn entries(catalog: &Catalog, branch: &str) -> usize {
    use futures::TryStreamExt;
    let folder = object_store::path::Path::from(format!("_catalog/refs/{branch}"));
    let store = catalog.store().object_store();
    store
        .list(Some(&folder))
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
        .len()
}

struct Fails;

#[async_trait]
impl Change for Fails {
    async fn apply(&self, _: &Snapshot) -> Result<ChangeSet> {
        Err(Error::conflict("not today"))
    }
}

struct Panics;

#[async_trait]
impl Change for Panics {
    async fn apply(&self, _: &Snapshot) -> Result<ChangeSet> {
        panic!("a fault in a change");
    }
}

struct Nothing;

#[async_trait]
impl Change for Nothing {
    async fn apply(&self, _: &Snapshot) -> Result<ChangeSet> {
        Ok(ChangeSet::default())
    }
}

#[tokio::test]
async fn a_failing_change_fails_only_its_own_caller() {
    let catalog = memory().await;
    let good = || Arc::new(Increment(AtomicUsize::new(0)));
    let commit = |change: Arc<dyn Change>| catalog.commit("main", meta("x"), change);
    let (a, failed, b, panicked, nothing, c) = tokio::join!(
        commit(good()),
        commit(Arc::new(Fails)),
        commit(good()),
        commit(Arc::new(Panics)),
        commit(Arc::new(Nothing)),
        commit(good()),
    );
    assert_eq!(failed.unwrap_err().message(), "not today");
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Internal);
    let counts = [a, b, nothing, c].map(|s| sql(&s.unwrap(), "count").unwrap());
    assert_eq!(counts, ["1", "2", "2", "3"]);
    assert_eq!(
        catalog.log("main", 99).await.unwrap().len(),
        4,
        "nothing commits nothing"
    );
}

#[tokio::test]
async fn a_stale_head_refuses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder(dir.path()).await, folder(dir.path()).await);
    commit(&ours, "main", vec![put("a", 1)]).await;
    // `theirs` last saw the root, on which this delete would be wrong.
    let base = head_id(&ours, "main").await;
    let operations = vec![delete("a")];
    let snapshot = theirs
        .commit_operations("main", meta("x"), base, operations)
        .await
        .unwrap();
    assert!(snapshot.is_empty());
}

#[tokio::test]
async fn the_same_key_changed_since_the_base_is_a_conflict() {
    let catalog = memory().await;
    let base = commit(&catalog, "main", vec![put("a", 1), put("b", 1)])
        .await
        .id();
    commit(&catalog, "main", vec![put("a", 2)]).await;
    let stale = vec![put("a", 3), put("b", 3)];
    let error = catalog
        .commit_operations("main", meta("x"), base, stale)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.message().contains("ns.a") && !error.message().contains("ns.b"),
        "{error}"
    );
    let disjoint = vec![put("b", 3)];
    let rebased = catalog
        .commit_operations("main", meta("x"), base, disjoint)
        .await
        .unwrap();
    assert_eq!(sql(&rebased, "a"), Some("2".into()));
    assert_eq!(sql(&rebased, "b"), Some("3".into()));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_others() {
    let catalog = memory().await;
    let gone = catalog.commit(
        "main",
        meta("gone"),
        Arc::new(Increment(AtomicUsize::new(0))),
    );
    let mut gone = Box::pin(gone);
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    let stays = catalog.commit(
        "main",
        meta("stays"),
        Arc::new(Increment(AtomicUsize::new(0))),
    );
    assert_eq!(sql(&stays.await.unwrap(), "count"), Some("2".into()));
}
