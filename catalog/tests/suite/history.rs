//! Branches, logs, references into the past, watermarks.

use catalog::{Catalog, ErrorKind, Store};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::{commit, head_id, memory, meta, put, sql};

#[tokio::test]
async fn every_new_lakehouse_begins_with_the_same_commit() {
    let (a, b) = (memory().await, memory().await);
    assert_eq!(head_id(&a, "main").await, head_id(&b, "main").await);
    assert!(a.head("main").await.unwrap().is_empty());
}

#[tokio::test]
async fn many_may_open_an_empty_store_at_once() {
    let store = Store::memory();
    let opens = (0..16).map(|_| Catalog::open(store.clone()));
    let catalogs = futures::future::try_join_all(opens).await.unwrap();
    for catalog in &catalogs {
        assert_eq!(catalog.log("main", 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_deleted_branch_is_gone_for_others_and_can_be_made_again() {
    let store = Store::memory();
    let ours = Catalog::open(store.clone()).await.unwrap();
    let theirs = Catalog::open(store).await.unwrap();
    ours.create_branch("team/x", "main", "ada").await.unwrap();
    commit(&theirs, "team/x", vec![put("a", 1)]).await;
    ours.delete_branch("team/x", "ada").await.unwrap();
    let error = theirs.head("team/x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let base = head_id(&theirs, "main").await;
    let put_a = vec![put("a", 1)];
    let error = theirs
        .commit_operations("team/x", meta("x"), base, put_a)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    theirs.create_branch("team/x", "main", "ada").await.unwrap();
    assert!(theirs.head("team/x").await.unwrap().is_empty());
    let names: Vec<_> = ours
        .branches()
        .await
        .unwrap()
        .into_iter()
        .map(|b| b.name)
        .collect();
    assert_eq!(names, ["main", "team/x"]);
}

#[tokio::test]
async fn the_past_is_reached_by_hash_and_by_time() {
    let catalog = memory().await;
    let mut made = Vec::new();
    for i in 0..100 {
        made.push(commit(&catalog, "main", vec![put("a", i)]).await);
    }
    for snapshot in &made {
        let id = snapshot.id().to_string();
        for spec in [
            id.clone(),
            format!("main@{}", &id[..8]),
            format!("main@{id}"),
        ] {
            let found = catalog.resolve(&spec).await.unwrap();
            assert_eq!(sql(&found, "a"), sql(snapshot, "a"), "{spec}");
        }
        let time = snapshot.commit().time.to_rfc3339();
        let found = catalog.resolve(&format!("main@{time}")).await.unwrap();
        assert!(found.commit().time == snapshot.commit().time);
    }
    let after = catalog.resolve("main@2999-01-01").await.unwrap();
    assert_eq!(after.id(), made[99].id());
    let before = catalog.resolve("main@1999-01-01").await.unwrap();
    assert!(before.is_empty());
    let error = catalog.resolve("main@1969-01-01").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_branch_does_not_show_commits_of_another() {
    let catalog = memory().await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let dev = commit(&catalog, "dev", vec![put("a", 1)]).await;
    let error = catalog
        .resolve(&format!("main@{}", dev.id()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn watermarks_stay_along_the_branch_they_were_committed_to() {
    let store = Store::memory();
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let mut first = meta("ingest");
    first
        .properties
        .insert("watermark.pump-1".into(), "41".into());
    let base = head_id(&catalog, "main").await;
    let snapshot = catalog
        .commit_operations("main", first, base, vec![put("a", 1)])
        .await
        .unwrap();
    assert_eq!(snapshot.watermark("pump-1"), Some(41));
    for i in 0..70 {
        commit(&catalog, "main", vec![put("a", i)]).await;
    }
    let cold = Catalog::open(store).await.unwrap();
    let head = cold.head("main").await.unwrap();
    assert_eq!(head.watermark("pump-1"), Some(41), "checkpoints hold it");
    assert_eq!(head.watermark("pump-2"), None);
}

/// Opening a branch must not cost more as history grows: take everything else away and look.
#[tokio::test]
async fn a_head_needs_only_the_commits_since_the_last_checkpoint() {
    let store = Store::memory();
    let catalog = Catalog::open(store.clone()).await.unwrap();
    for i in 0..100 {
        commit(&catalog, "main", vec![put(&format!("k{i}"), i)]).await;
    }
    for old in &catalog.log("main", 999).await.unwrap()[32..] {
        let id = old.id.to_string();
        let path = Path::from(format!("_catalog/commits/{}/{id}.json", &id[..2]));
        store.object_store().delete(&path).await.unwrap();
    }
    let cold = Catalog::open(store).await.unwrap();
    assert_eq!(cold.head("main").await.unwrap().len(), 100);
}

#[tokio::test]
async fn the_log_is_newest_first_and_bounded() {
    let catalog = memory().await;
    for i in 0..5 {
        commit(&catalog, "main", vec![put("a", i)]).await;
    }
    let log = catalog.log("main", 3).await.unwrap();
    let depths: Vec<_> = log.iter().map(|commit| commit.depth).collect();
    assert_eq!(depths, [5, 4, 3]);
    assert!(catalog.log("main", 0).await.unwrap().is_empty());
}
