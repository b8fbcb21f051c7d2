//! Ways to name a commit, and what is said about names that mean nothing.

use catalog::{Catalog, CommitId, ErrorKind, RefKind, Store};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::{commit, head_id, memory, merge, put, sql};

async fn fails(catalog: &Catalog, spec: &str, kind: ErrorKind) -> catalog::Error {
    let error = catalog.resolve(spec).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{spec}: {error}");
    assert!(
        error.hint().is_some() || spec.contains('~'),
        "{spec}: {error}"
    );
    error
}

#[tokio::test]
async fn steps_back_follow_the_first_parents() {
    let catalog = memory().await;
    for i in 0..70 {
        commit(&catalog, "main", vec![put("a", i)]).await;
    }
    catalog.create_tag("v1", "main~10", "ada").await.unwrap();
    let hash = head_id(&catalog, "main").await.to_string();
    for (spec, expected) in [
        ("main~".to_string(), "68"),
        ("main~0".into(), "69"),
        ("main~69".into(), "0"),
        ("v1".into(), "59"),
        ("v1~9".into(), "50"),
        (format!("{hash}~60"), "9"),
        (format!("{}~60", &hash[..8]), "9"),
        (format!("main@{}~3", &hash[..8]), "66"),
        ("main@2999-01-01~5".into(), "64"),
    ] {
        let found = catalog.resolve(&spec).await.unwrap();
        assert_eq!(sql(&found, "a").as_deref(), Some(expected), "{spec}");
    }
    let error = fails(&catalog, "main~71", ErrorKind::NotFound).await;
    assert_eq!(
        error.message(),
        "main~71 is before the first commit: main has 70 before it"
    );
    for spec in ["main~x", "main~1~1", "~1", "@2026-01-01", "main@"] {
        fails(&catalog, spec, ErrorKind::InvalidInput).await;
    }
}

#[tokio::test]
async fn a_ref_that_looks_like_a_hash_wins_over_commits() {
    let catalog = memory().await;
    let first = commit(&catalog, "main", vec![put("a", 1)]).await.id();
    let second = commit(&catalog, "main", vec![put("a", 2)]).await.id();
    let name = &first.to_string()[..10];
    assert_eq!(catalog.resolve(name).await.unwrap().id(), first);
    catalog.create_branch(name, "main", "ada").await.unwrap();
    assert_eq!(catalog.resolve(name).await.unwrap().id(), second);
    catalog.delete_branch(name, "ada").await.unwrap();
    assert_eq!(catalog.resolve(name).await.unwrap().id(), first);
    fails(&catalog, &first.to_string()[..7], ErrorKind::NotFound).await;
}

/// Two hashes that begin alike cannot be made to order: one is copied under another's name, which
/// only listing can see.
#[tokio::test]
async fn digits_that_begin_several_hashes_are_refused() {
    let catalog = memory().await;
    let id = commit(&catalog, "main", vec![put("a", 1)])
        .await
        .id()
        .to_string();
    let other = format!("{}{}", &id[..16], "0".repeat(48));
    let path = |id: &str| Path::from(format!("_catalog/commits/{}/{id}.json", &id[..2]));
    let store = catalog.store().object_store();
    store.copy(&path(&id), &path(&other)).await.unwrap();
    let error = fails(&catalog, &id[..12], ErrorKind::InvalidInput).await;
    assert!(error.hint().unwrap().contains(&other), "{error}");
    assert_eq!(
        catalog.resolve(&id[..40]).await.unwrap().id().to_string(),
        id
    );
}

#[tokio::test]
async fn names_that_mean_nothing_say_what_there_is() {
    let catalog = memory().await;
    catalog
        .create_branch("team/x", "main", "ada")
        .await
        .unwrap();
    catalog.create_tag("v1", "main", "ada").await.unwrap();
    let error = fails(&catalog, "v2", ErrorKind::NotFound).await;
    assert_eq!(error.hint(), Some("branches: main, team/x; tags: v1"));
    for spec in [
        "team",
        "team/y",
        "v1.",
        "v2~3",
        "deadbeef",
        "deadbeef@2026-01-01",
    ] {
        fails(&catalog, spec, ErrorKind::NotFound).await;
    }
    let long = "x".repeat(1000);
    for spec in [
        "", "..", "a/../b", "/main", "main/", "mäin", "a b", "HEAD^", &long,
    ] {
        let error = fails(&catalog, spec, ErrorKind::InvalidInput).await;
        assert!(error.message().len() < 200, "{error}");
    }
}

#[tokio::test]
async fn a_deleted_ref_is_called_deleted_and_its_log_brings_it_back() {
    let catalog = memory().await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let last = commit(&catalog, "dev", vec![put("a", 1)]).await.id();
    catalog.delete_branch("dev", "bob").await.unwrap();
    let error = fails(&catalog, "dev", ErrorKind::NotFound).await;
    assert!(error.message().contains("deleted by bob"), "{error}");
    let log = catalog.ref_log("dev", 9).await.unwrap();
    let said: Vec<_> = log
        .iter()
        .map(|entry| (entry.author.as_str(), entry.action.as_str(), entry.commit))
        .collect();
    let root = head_id(&catalog, "main").await;
    assert_eq!(
        said,
        [
            ("bob", "delete", None),
            ("tester", "commit", Some(last)),
            ("ada", "create from main", Some(root)),
        ]
    );
    let spec = last.to_string();
    catalog.create_branch("dev", &spec, "ada").await.unwrap();
    assert_eq!(head_id(&catalog, "dev").await, last);
    let error = catalog.ref_log("dve", 9).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn branches_and_tags_share_one_name_space() {
    let store = Store::memory();
    let ours = Catalog::open(store.clone()).await.unwrap();
    let theirs = Catalog::open(store).await.unwrap();
    for round in 0..20 {
        let name = format!("v{round}");
        let (branch, tag) = tokio::join!(
            ours.create_branch(&name, "main", "ada"),
            theirs.create_tag(&name, "main", "bob")
        );
        assert!(branch.is_ok() != tag.is_ok(), "exactly one has the name");
        let lost = branch.as_ref().err().or(tag.as_ref().err()).unwrap();
        assert_eq!(lost.kind(), ErrorKind::AlreadyExists);
        let kind = ours.reference(&name).await.unwrap().kind;
        assert_eq!(kind == RefKind::Branch, branch.is_ok());
    }
    let (branches, tags) = (ours.branches().await.unwrap(), ours.tags().await.unwrap());
    assert_eq!(branches.len() + tags.len(), 21);
}

#[tokio::test]
async fn tags_do_not_move() {
    let catalog = memory().await;
    catalog.create_tag("v1", "main", "ada").await.unwrap();
    let root = head_id(&catalog, "main").await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    let operations = vec![put("a", 1)];
    let committed = catalog.commit_operations("v1", crate::meta("x"), root, operations);
    let errors = [
        committed.await.unwrap_err(),
        merge(&catalog, "main", "v1").await.unwrap_err(),
        catalog.reset_branch("v1", "main", "ada").await.unwrap_err(),
        catalog.rename_branch("v1", "v2", "ada").await.unwrap_err(),
        catalog.protect_branch("v1", true, "ada").await.unwrap_err(),
        catalog.delete_branch("v1", "ada").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.message(), "\"v1\" is a tag, not a branch");
    }
    assert_eq!(head_id(&catalog, "v1").await, root);
    catalog.delete_tag("v1", "ada").await.unwrap();
    let error = catalog.delete_tag("main", "ada").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// The commits of a fast-forward are older than the merge: `@time` must not show them early.
#[tokio::test]
async fn a_time_names_where_the_branch_was_then() {
    let catalog = memory().await;
    let before = commit(&catalog, "main", vec![put("a", 1)]).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let dev = commit(&catalog, "dev", vec![put("a", 2)]).await;
    let at = |id: &str, time: &chrono::DateTime<chrono::Utc>| format!("{id}@{}", time.to_rfc3339());
    let time = dev.commit().time;
    merge(&catalog, "dev", "main").await.unwrap();
    let catalog = &catalog;
    let then = |spec: String| async move { catalog.resolve(&spec).await.map(|s| s.id()) };
    assert_eq!(then(at("dev", &time)).await.unwrap(), dev.id());
    assert_eq!(then(at("main", &time)).await.unwrap(), before.id());
    let merged = catalog.reference("main").await.unwrap();
    assert_eq!(merged.commit.id, dev.id());
    assert_eq!(then(at("main", &merged.updated)).await.unwrap(), dev.id());
    catalog.reset_branch("main", "main~", "ada").await.unwrap();
    let reset = catalog.reference("main").await.unwrap().updated;
    assert_eq!(then(at("main", &reset)).await.unwrap(), before.id());
    assert_eq!(then(at("main", &merged.updated)).await.unwrap(), dev.id());
    let error = catalog.resolve("dev@2020-01-01").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("it begins at"), "{error}");
}

/// Commits made at once share an entry, and are named by their own times all the same.
#[tokio::test]
async fn a_time_within_a_group_of_commits_names_one_of_them() {
    let catalog = memory().await;
    let base = head_id(&catalog, "main").await;
    let commits = (0..30).map(|i| {
        let operations = vec![put(&format!("t{i}"), i)];
        catalog.commit_operations("main", crate::meta(i), base, operations)
    });
    let made = futures::future::try_join_all(commits).await.unwrap();
    let log = catalog.log("main", 99).await.unwrap();
    for snapshot in made {
        let time = snapshot.commit().time;
        let newest = log.iter().find(|commit| commit.time <= time).unwrap();
        let spec = format!("main@{}", time.to_rfc3339());
        assert_eq!(catalog.resolve_commit(&spec).await.unwrap().id, newest.id);
    }
}

/// Where entries were collected the commits' own times answer.
#[tokio::test]
async fn times_before_the_oldest_entry_follow_the_commits() {
    let catalog = memory().await;
    let mut made: Vec<CommitId> = Vec::new();
    for i in 0..20 {
        made.push(commit(&catalog, "main", vec![put("a", i)]).await.id());
    }
    let log = catalog.ref_log("main", 99).await.unwrap();
    let store = catalog.store().object_store();
    let oldest: Vec<_> = log
        .iter()
        .rev()
        .take(10)
        .map(|entry| entry.number)
        .collect();
    let entries = Path::from("_catalog/refs/main");
    let listed: Vec<_> = store.list(Some(&entries)).try_collect().await.unwrap();
    for object in listed {
        let name = object.location.filename().unwrap();
        let inverted: u64 = name.strip_suffix(".json").unwrap().parse().unwrap();
        if oldest.contains(&(u64::MAX - inverted)) {
            store.delete(&object.location).await.unwrap();
        }
    }
    let cold = Catalog::open(catalog.store().clone()).await.unwrap();
    for id in made {
        let time = cold.snapshot(id).await.unwrap().commit().time;
        let spec = format!("main@{}", time.to_rfc3339());
        assert_eq!(cold.resolve_commit(&spec).await.unwrap().id, id);
    }
    assert_eq!(cold.ref_log("main", 99).await.unwrap().len(), 11);
}

/// A clock that is ahead gives commits times later than the entry that brings them.
#[tokio::test]
async fn a_time_never_goes_behind_the_entry_in_force() {
    let catalog = memory().await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let store = catalog.store().object_store();
    let entries = Path::from("_catalog/refs/dev");
    let listed: Vec<_> = store.list(Some(&entries)).try_collect().await.unwrap();
    let newest = &listed.iter().map(|object| &object.location).min().unwrap();
    let bytes = store.get(newest).await.unwrap().bytes().await.unwrap();
    let mut entry: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let ahead = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    entry["time"] = serde_json::to_value(ahead).unwrap();
    let entry = serde_json::to_vec(&entry).unwrap();
    store.put(newest, entry.into()).await.unwrap();

    let catalog = Catalog::open(catalog.store().clone()).await.unwrap();
    let early = commit(&catalog, "dev", vec![put("a", 2)]).await;
    merge(&catalog, "dev", "main").await.unwrap();
    let merged = catalog.reference("main").await.unwrap().updated;
    assert!(early.commit().time > merged);
    commit(&catalog, "main", vec![put("a", 3)]).await;
    let spec = format!("main@{}", merged.to_rfc3339());
    assert_eq!(catalog.resolve(&spec).await.unwrap().id(), early.id());
}
