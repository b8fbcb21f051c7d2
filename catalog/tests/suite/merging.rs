//! Merges: what is taken, what is refused, and what stays as it was.

use catalog::{ErrorKind, KeysOnly, MergeOptions, MergeOutcome};

use crate::{commit, delete, head_id, memory, merge, put, sql};

#[tokio::test]
async fn a_target_without_own_commits_fast_forwards() {
    let catalog = memory().await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let dev = commit(&catalog, "dev", vec![put("a", 2)]).await;
    let outcome = merge(&catalog, "dev", "main").await.unwrap();
    assert_eq!(outcome.outcome, MergeOutcome::FastForward);
    assert_eq!(outcome.commit, Some(dev.id()));
    assert_eq!(head_id(&catalog, "main").await, dev.id());
    let again = merge(&catalog, "dev", "main").await.unwrap();
    assert_eq!(again.outcome, MergeOutcome::AlreadyUpToDate);
}

#[tokio::test]
async fn each_side_keeps_its_own_changes() {
    let catalog = memory().await;
    commit(
        &catalog,
        "main",
        vec![put("a", 1), put("b", 1), put("c", 1), put("d", 1)],
    )
    .await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let dev = commit(
        &catalog,
        "dev",
        vec![put("a", 2), delete("b"), put("e", 2), put("d", 9)],
    )
    .await;
    let main = commit(
        &catalog,
        "main",
        vec![put("c", 3), put("f", 3), put("d", 9)],
    )
    .await;
    let options = MergeOptions {
        author: "ada".into(),
        message: Some("ship it".into()),
        ..MergeOptions::default()
    };
    let report = catalog
        .merge("dev", "main", &options, &KeysOnly)
        .await
        .unwrap();
    assert_eq!(report.outcome, MergeOutcome::Merged);
    let merged = catalog.snapshot(report.commit.unwrap()).await.unwrap();
    let state: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .map(|k| sql(&merged, k))
        .into();
    let expected = [Some("2"), None, Some("3"), Some("9"), Some("2"), Some("3")];
    assert_eq!(state, expected.map(|v| v.map(String::from)));
    let made = merged.commit();
    assert_eq!(
        (made.parent, made.merge_parent),
        (Some(main.id()), Some(dev.id()))
    );
    assert_eq!(
        (made.author.as_str(), made.message.as_str()),
        ("ada", "ship it")
    );
    assert_eq!(head_id(&catalog, "dev").await, dev.id(), "the source stays");
    let back = merge(&catalog, "main", "dev").await.unwrap();
    assert_eq!(back.outcome, MergeOutcome::FastForward);
    assert_eq!(back.commit, Some(merged.id()));
}

#[tokio::test]
async fn conflicts_name_the_keys_and_change_nothing() {
    let catalog = memory().await;
    commit(
        &catalog,
        "main",
        vec![put("a", 1), put("b", 1), put("c", 1)],
    )
    .await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    commit(
        &catalog,
        "dev",
        vec![put("a", 2), put("b", 2), put("c", 2), put("n", 2)],
    )
    .await;
    let main = commit(
        &catalog,
        "main",
        vec![put("a", 3), delete("b"), put("n", 3)],
    )
    .await;
    let error = merge(&catalog, "dev", "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "merging dev into main: changed on both sides: \
         ns.a (changed on dev, changed on main); \
         ns.b (changed on dev, deleted on main); \
         ns.n (created on dev, created on main)"
    );
    assert_eq!(head_id(&catalog, "main").await, main.id());
}

#[tokio::test]
async fn merging_again_starts_at_the_last_merge() {
    let catalog = memory().await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    for round in 0..40 {
        commit(&catalog, "dev", vec![put("a", round)]).await;
        commit(&catalog, "main", vec![put("b", round)]).await;
        let report = merge(&catalog, "dev", "main").await.unwrap();
        assert_eq!(report.outcome, MergeOutcome::Merged);
        let merged = catalog.snapshot(report.commit.unwrap()).await.unwrap();
        assert_eq!(sql(&merged, "a"), Some(round.to_string()));
    }
}

#[tokio::test]
async fn a_commit_can_be_merged_by_its_hash() {
    let catalog = memory().await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let first = commit(&catalog, "dev", vec![put("a", 1)]).await;
    commit(&catalog, "dev", vec![put("a", 2)]).await;
    let spec = format!("dev@{}", first.id().short());
    merge(&catalog, &spec, "main").await.unwrap();
    assert_eq!(
        sql(&catalog.head("main").await.unwrap(), "a"),
        Some("1".into())
    );
}

#[tokio::test]
async fn merges_and_commits_of_two_catalogs_do_not_lose_each_other() {
    let store = catalog::Store::memory();
    let ours = catalog::Catalog::open(store.clone()).await.unwrap();
    let theirs = catalog::Catalog::open(store).await.unwrap();
    for round in 0..20 {
        let branch = format!("dev{round}");
        ours.create_branch(&branch, "main", "ada").await.unwrap();
        let dev = format!("d{round}");
        commit(&ours, &branch, vec![put(&dev, round)]).await;
        let name = format!("m{round}");
        let (merged, _) = tokio::join!(
            merge(&ours, &branch, "main"),
            commit(&theirs, "main", vec![put(&name, round)])
        );
        merged.unwrap();
        let head = theirs.head("main").await.unwrap();
        assert!(sql(&head, &dev).is_some() && sql(&head, &name).is_some());
    }
}
