//! Moving refs other than by commits: protection, resets, renames; reports of merges, picks and
//! reverts.

use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    BothChanged, Catalog, CatalogOptions, ChangeKind, ContentMerge, ErrorKind, KeysOnly,
    MergeOptions, MergeOutcome, Merged, Operation, Result, Side, Store,
};

use crate::{commit, delete, head_id, key, memory, merge, meta, put, sql, view};

fn options() -> MergeOptions {
    MergeOptions {
        author: "ada".into(),
        ..MergeOptions::default()
    }
}

/// `dev` and `main` both changed `a` and `b`; each changed something of its own.
async fn parted() -> Catalog {
    let catalog = memory().await;
    let both = vec![put("a", 1), put("b", 1), put("c", 1), put("d", 1)];
    commit(&catalog, "main", both).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    let theirs = vec![put("a", 2), delete("b"), delete("c"), put("e", 2)];
    commit(&catalog, "dev", theirs).await;
    commit(
        &catalog,
        "main",
        vec![put("a", 3), put("b", 3), put("d", 3)],
    )
    .await;
    catalog
}

#[tokio::test]
async fn a_dry_run_reports_and_changes_nothing() {
    let catalog = parted().await;
    let head = head_id(&catalog, "main").await;
    let mut options = options();
    options.dry_run = true;
    let report = catalog
        .merge("dev", "main", &options, &KeysOnly)
        .await
        .unwrap();
    assert_eq!(
        (report.outcome, report.commit),
        (MergeOutcome::Conflicts, None)
    );
    let named = report
        .conflicts
        .iter()
        .map(|c| (c.key.name.as_str(), c.ours.as_str(), c.theirs.as_str()));
    assert!(named.eq([("a", "changed", "changed"), ("b", "changed", "deleted")]));
    options.resolve_rest = Some(Side::Theirs);
    let report = catalog
        .merge("dev", "main", &options, &KeysOnly)
        .await
        .unwrap();
    assert_eq!(
        (report.outcome, report.commit),
        (MergeOutcome::Merged, None)
    );
    let kinds = report.changes.iter().map(|c| (c.key.name.as_str(), c.kind));
    let expected = [
        ("a", ChangeKind::Changed),
        ("b", ChangeKind::Deleted),
        ("c", ChangeKind::Deleted),
        ("e", ChangeKind::Created),
    ];
    assert!(kinds.eq(expected));
    assert_eq!(head_id(&catalog, "main").await, head);
    assert_eq!(catalog.ref_log("main", 9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn conflicts_are_resolved_key_by_key() {
    let catalog = parted().await;
    let mut options = options();
    options.resolutions.insert(key("a"), Side::Theirs);
    let report = catalog
        .merge("dev", "main", &options, &KeysOnly)
        .await
        .unwrap();
    let left = report.into_result().unwrap_err();
    assert!(
        !left.message().contains("ns.a") && left.message().contains("ns.b"),
        "{left}"
    );
    options.resolutions.insert(key("b"), Side::Ours);
    let report = catalog
        .merge("dev", "main", &options, &KeysOnly)
        .await
        .unwrap();
    let merged = catalog.snapshot(report.commit.unwrap()).await.unwrap();
    let state = ["a", "b", "c", "d", "e"].map(|name| sql(&merged, name));
    assert_eq!(
        state,
        [Some("2"), Some("3"), None, Some("3"), Some("2")].map(|v| v.map(String::from))
    );
}

/// Joins what both sides made of a view.
struct Join;

#[async_trait]
impl ContentMerge for Join {
    async fn merge(&self, both: &BothChanged<'_>) -> Result<Merged> {
        let text = |content: Option<&catalog::Content>| match content {
            Some(catalog::Content::View {
                metadata_location, ..
            }) => metadata_location.clone(),
            _ => String::new(),
        };
        let (ours, theirs) = (text(both.ours), text(both.theirs));
        Ok(Merged::Content {
            content: view(format!("{ours}+{theirs}")),
            how: format!("joined {}", both.source),
        })
    }
}

#[tokio::test]
async fn who_knows_the_contents_merges_them() {
    let catalog = parted().await;
    let report = catalog
        .merge("dev", "main", &options(), &Join)
        .await
        .unwrap();
    let merged = catalog.snapshot(report.commit.unwrap()).await.unwrap();
    assert_eq!(sql(&merged, "a").as_deref(), Some("3+2"));
    let how: Vec<_> = report
        .changes
        .iter()
        .map(|change| change.how.as_deref())
        .collect();
    assert_eq!(how, [Some("joined dev"), Some("joined dev"), None, None]);
}

#[tokio::test]
async fn a_protected_branch_takes_merges_and_automatic_commits_only() {
    let catalog = memory().await;
    catalog.create_branch("rel", "main", "ada").await.unwrap();
    catalog.protect_branch("rel", true, "ada").await.unwrap();
    let made = commit(&catalog, "main", vec![put("a", 1)])
        .await
        .id()
        .to_string();
    let base = head_id(&catalog, "rel").await;
    let direct = catalog.commit_operations("rel", meta("x"), base, vec![put("a", 1)]);
    let errors = [
        direct.await.unwrap_err(),
        catalog.delete_branch("rel", "ada").await.unwrap_err(),
        catalog.rename_branch("rel", "x", "ada").await.unwrap_err(),
        catalog
            .reset_branch("rel", "main", "ada")
            .await
            .unwrap_err(),
        catalog
            .cherry_pick(&made, "rel", &options(), &KeysOnly)
            .await
            .unwrap_err(),
        catalog
            .revert(&made, "rel", &options(), &KeysOnly)
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.hint().unwrap().contains("merge"), "{error}");
    }
    let automatic = meta("ingest").automatic();
    catalog
        .commit_operations("rel", automatic, base, vec![put("b", 1)])
        .await
        .unwrap();
    merge(&catalog, "main", "rel").await.unwrap();
    catalog.create_branch("next", "rel", "ada").await.unwrap();
    commit(&catalog, "next", vec![put("c", 1)]).await;
    let report = merge(&catalog, "next", "rel").await.unwrap();
    assert_eq!(report.outcome, MergeOutcome::FastForward);
    assert!(
        catalog.reference("rel").await.unwrap().protected,
        "it stays protected"
    );
    catalog.protect_branch("rel", false, "ada").await.unwrap();
    catalog.delete_branch("rel", "ada").await.unwrap();
}

#[tokio::test]
async fn a_pick_and_a_revert_are_commits_of_their_own() {
    let catalog = memory().await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    commit(&catalog, "dev", vec![put("x", 1)]).await;
    let fix = commit(&catalog, "dev", vec![put("a", 2)]).await;
    let picked = catalog
        .cherry_pick("dev", "main", &options(), &KeysOnly)
        .await
        .unwrap();
    let head = catalog.head("main").await.unwrap();
    assert_eq!(
        (picked.outcome, picked.commit),
        (MergeOutcome::Merged, Some(head.id()))
    );
    assert_eq!(
        (sql(&head, "a").as_deref(), sql(&head, "x")),
        (Some("2"), None)
    );
    assert_eq!(head.commit().message, fix.commit().message);
    assert_eq!(
        head.commit().properties["pumphouse.cherry-pick"],
        fix.id().to_string()
    );
    let again = catalog
        .cherry_pick("dev", "main", &options(), &KeysOnly)
        .await
        .unwrap();
    assert_eq!(again.outcome, MergeOutcome::AlreadyUpToDate);
    let reverted = catalog
        .revert("main", "main", &options(), &KeysOnly)
        .await
        .unwrap();
    let head = catalog.snapshot(reverted.commit.unwrap()).await.unwrap();
    assert_eq!(sql(&head, "a").as_deref(), Some("1"));
    assert_eq!(head.commit().message, "revert \"1 operations\"");
    commit(&catalog, "main", vec![put("a", 5)]).await;
    let report = catalog
        .revert("main~", "main", &options(), &KeysOnly)
        .await
        .unwrap();
    assert_eq!(
        report.into_result().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    let error = catalog
        .revert("main~4", "main", &options(), &KeysOnly)
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::InvalidInput,
        "the first commit: {error}"
    );
}

/// An ingester's log has given up what was committed: whatever becomes of those rows, its
/// position must not go back.
#[tokio::test]
async fn neither_a_revert_nor_a_reset_rewinds_watermarks() {
    let catalog = memory().await;
    for (mark, value) in [(10, 1), (20, 2)] {
        let mut ingest = meta("ingest").automatic();
        ingest
            .properties
            .insert("watermark.i".into(), mark.to_string());
        let base = head_id(&catalog, "main").await;
        let operations = vec![put("a", value)];
        let made = catalog.commit_operations("main", ingest, base, operations);
        made.await.unwrap();
    }
    let before = head_id(&catalog, "main").await;
    let options = options();
    let reverted = catalog.revert("main", "main", &options, &KeysOnly);
    reverted.await.unwrap();
    let head = catalog.head("main").await.unwrap();
    assert_eq!(sql(&head, "a").as_deref(), Some("1"));
    assert_eq!(head.watermark("i"), Some(20));
    let reset = catalog.reset_branch("main", "main~2", "ada").await.unwrap();
    let head = catalog.head("main").await.unwrap();
    assert_eq!(
        (reset.id, sql(&head, "a").as_deref()),
        (head.id(), Some("1"))
    );
    assert_eq!(head.watermark("i"), Some(20));
    let log = catalog.ref_log("main", 9).await.unwrap();
    let newest = (log[0].author.as_str(), log[0].action.as_str());
    assert_eq!(newest, ("ada", "reset to main~2"));
    assert_eq!(log[2].commit, Some(before), "the log names what was left");
    // Back to where it was: that has the position, so nothing is put on top.
    let spec = before.to_string();
    let back = catalog.reset_branch("main", &spec, "ada").await.unwrap();
    assert_eq!(back.id, before);
}

#[tokio::test]
async fn a_renamed_branch_goes_on_under_its_new_name() {
    let store = Store::memory();
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let theirs = Catalog::open(store).await.unwrap();
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    commit(&theirs, "dev", vec![put("a", 1)]).await;
    catalog
        .rename_branch("dev", "team/dev", "ada")
        .await
        .unwrap();
    let error = theirs.head("dev").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    commit(&theirs, "team/dev", vec![put("b", 1)]).await;
    assert_eq!(catalog.head("team/dev").await.unwrap().len(), 2);
    for (old, new) in [("main", "x"), ("team/dev", "team/dev"), ("team/dev", "a b")] {
        let error = catalog.rename_branch(old, new, "ada").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

/// Commits to a branch while it is renamed are on the new name, or refused.
#[tokio::test]
async fn no_acknowledged_commit_is_lost_to_a_rename() {
    let store = Store::memory();
    let ours = Catalog::open(store.clone()).await.unwrap();
    let theirs = Catalog::open(store).await.unwrap();
    for round in 0..20 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        ours.create_branch(&old, "main", "ada").await.unwrap();
        theirs.head(&old).await.unwrap();
        let base = head_id(&theirs, &old).await;
        let change = theirs.commit_operations(&old, meta("x"), base, vec![put("a", round)]);
        let (renamed, committed) = tokio::join!(ours.rename_branch(&old, &new, "ada"), change);
        renamed.unwrap();
        let head = theirs.head(&new).await.unwrap();
        match committed {
            Ok(made) => assert_eq!(head.id(), made.id()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
}

/// Readers may be content with what they saw; what this process itself did they see at once.
#[tokio::test]
async fn readers_look_as_often_as_they_were_told() {
    let store = Store::memory();
    let options = CatalogOptions {
        refresh: Duration::from_secs(3600),
    };
    let lazy = Catalog::open_with(store.clone(), options).await.unwrap();
    let eager = Catalog::open(store).await.unwrap();
    lazy.head("main").await.unwrap();
    commit(&eager, "main", vec![put("a", 1)]).await;
    assert!(lazy.head("main").await.unwrap().is_empty());
    lazy.create_branch("dev", "main", "ada").await.unwrap();
    assert_eq!(lazy.head("main").await.unwrap().len(), 1, "a writer looked");
    commit(&lazy, "main", vec![put("b", 1)]).await;
    assert_eq!(lazy.head("main").await.unwrap().len(), 2);
    let operations = vec![Operation::Delete { key: key("a") }];
    let base = head_id(&eager, "main").await;
    eager
        .commit_operations("main", meta("x"), base, operations)
        .await
        .unwrap();
    assert_eq!(lazy.head("main").await.unwrap().len(), 2);
    assert_eq!(
        merge(&lazy, "main", "dev").await.unwrap().source,
        head_id(&eager, "main").await
    );
}
