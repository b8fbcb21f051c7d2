//! The phases of a collection, one by one.

use std::time::Duration;

use catalog::collect::SquashPolicy;
use catalog::{CommitId, ErrorKind, KeysOnly, MAIN, MergeOptions};
use lake::Lake;
use lake::collect::{CollectOptions, CollectReport, Kind};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::world::World;
use super::{GRACE, check, collect, killed_after, options, paths};
use crate::collecting::naive::Naive;
use crate::support::{NOVEMBER, key, meta, row, spec, totals};

/// Longer than any age that matters.
pub(super) const LONG: u64 = 48 * 3600;

/// A lakehouse whose main holds a table, and the number of rows in it.
pub(super) async fn world() -> (World, Lake) {
    let world = World::new(7);
    let lake = world.quiet_lake().await;
    lake.create_table(MAIN, &key(), &spec(), meta())
        .await
        .unwrap();
    append(&lake, MAIN).await;
    (world, lake)
}

pub(super) async fn append(lake: &Lake, branch: &str) -> CommitId {
    let rows = vec![row(NOVEMBER, "p1", 1)];
    let done = lake.append_batches(branch, &key(), rows, meta()).await;
    done.unwrap().id()
}

/// A branch with three appends, deleted; its last commit.
async fn garbage(lake: &Lake) -> CommitId {
    let catalog = lake.catalog();
    catalog.create_branch("exp", MAIN, "tester").await.unwrap();
    append(lake, "exp").await;
    append(lake, "exp").await;
    let last = append(lake, "exp").await;
    catalog.delete_branch("exp", "tester").await.unwrap();
    last
}

/// A commit as ingest makes them, of one row.
pub(super) async fn ingest(lake: &Lake, n: i64) -> CommitId {
    let head = lake.catalog().head(MAIN).await.unwrap();
    let table = lake.table(&head, &key()).await.unwrap();
    let files = lake
        .write(&table, vec![row(NOVEMBER, "p1", n)])
        .await
        .unwrap();
    let append = lake::Append {
        key: key(),
        table_uuid: table.uuid(),
        partition_spec_id: table.metadata().default_partition_spec_id(),
        files,
        schema: table.metadata().current_schema().clone(),
    };
    let before = head.watermark("node");
    let change = lake.append(vec![append]);
    let change = change.with_watermark("node", before, before.unwrap_or(0) + 1);
    let change = std::sync::Arc::new(change);
    let done = lake.catalog().commit(MAIN, meta(), change).await;
    done.unwrap().id()
}

/// Squashes what is older than an hour, but for one commit a day.
pub(super) fn squash() -> CollectOptions {
    CollectOptions {
        squash: Some(SquashPolicy {
            older_than: Duration::from_secs(3600),
            keep_every: Duration::from_secs(24 * 3600),
        }),
        ..options(false)
    }
}

pub(super) async fn quiet_collect(world: &World, options: &CollectOptions) -> CollectReport {
    let lake = world.quiet_lake().await;
    lake.collect(options, &|_| {}).await.unwrap()
}

pub(super) async fn rows_on_main(world: &World) -> usize {
    let lake = world.quiet_lake().await;
    let head = lake.catalog().head(MAIN).await.unwrap();
    let table = lake.table(&head, &key()).await.unwrap();
    totals(&lake, &table).await.0
}

#[tokio::test]
async fn garbage_is_noted_by_one_run_and_deleted_by_a_later_one() {
    let (world, lake) = world().await;
    garbage(&lake).await;
    let before = paths(&world).await;
    let young = quiet_collect(&world, &options(false)).await;
    assert!(
        young.condemned.is_empty(),
        "the ref log still holds it: {young:?}"
    );

    world.store.pass(LONG);
    let dry = CollectOptions {
        dry_run: true,
        ..options(false)
    };
    // A dry run has to take the time of this machine.
    let unknown = quiet_collect(&world, &dry).await;
    assert!(unknown.deleted.is_empty());
    assert_eq!(paths(&world).await, before, "a dry run writes nothing");

    let noted = quiet_collect(&world, &options(false)).await;
    assert!(noted.deleted.is_empty());
    assert_eq!(noted.condemned.of(Kind::DataFile).objects, 3);
    assert_eq!(noted.condemned.of(Kind::Manifest).objects, 3);
    assert_eq!(noted.condemned.of(Kind::ManifestList).objects, 3);
    assert_eq!(noted.condemned.of(Kind::Metadata).objects, 3);
    assert_eq!(noted.condemned.of(Kind::Commit).objects, 3);
    // Created, three commits, deleted: the whole log of the branch goes, and of main's three
    // entries (created, table, append) all but the last.
    assert_eq!(noted.condemned.of(Kind::RefEntry).objects, 5 + 2);
    assert!(noted.condemned.of(Kind::DataFile).bytes > 0);
    assert!(noted.due.is_some());

    let again = quiet_collect(&world, &options(false)).await;
    assert!(again.deleted.is_empty() && again.condemned.is_empty());
    assert_eq!(
        again.waiting, noted.condemned,
        "the grace period is not over"
    );

    world.store.pass(GRACE + 1);
    let swept = quiet_collect(&world, &options(false)).await;
    assert_eq!(swept.deleted, noted.condemned);
    let left = paths(&world).await;
    assert!(
        !left
            .iter()
            .any(|path| path.as_ref().starts_with("_catalog/gc"))
    );
    assert_eq!(left, check(&world, &mut Naive::default()).await);
    assert_eq!(rows_on_main(&world).await, 1);
    // The name is free again.
    lake.catalog()
        .create_branch("exp", MAIN, "tester")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_sweep_is_resumed() {
    let (world, lake) = world().await;
    for _ in 0..5 {
        garbage(&lake).await;
    }
    world.store.pass(LONG);
    let noted = collect(&world, options(false)).await;
    world.store.pass(LONG);
    let total = paths(&world).await.len();
    let mut deleted = 0;
    for polls in (50..).step_by(25) {
        let ended = std::cell::Cell::new(false);
        let work = async {
            collect(&world, options(false)).await;
            ended.set(true);
        };
        killed_after(work, polls).await;
        check(&world, &mut Naive::default()).await;
        let left = total.saturating_sub(paths(&world).await.len());
        deleted = left.max(deleted);
        if ended.get() {
            break;
        }
    }
    assert!(deleted as u64 >= noted.condemned.of(Kind::DataFile).objects);
    world.store.pass(LONG);
    collect(&world, options(false)).await;
    world.store.pass(LONG);
    collect(&world, options(false)).await;
    assert_eq!(
        paths(&world).await,
        check(&world, &mut Naive::default()).await
    );
    assert_eq!(rows_on_main(&world).await, 1);
}

#[tokio::test]
async fn a_commit_that_is_being_collected_cannot_be_named_anew() {
    let (world, lake) = world().await;
    let last = garbage(&lake).await.to_string();
    let catalog = lake.catalog();
    catalog
        .create_branch("again", &last, "tester")
        .await
        .unwrap();
    catalog.delete_branch("again", "tester").await.unwrap();

    world.store.pass(LONG);
    quiet_collect(&world, &options(false)).await;
    let options = MergeOptions::default();
    let refused = [
        catalog
            .create_branch("again", &last, "tester")
            .await
            .map(drop),
        catalog.create_tag("again", &last, "tester").await.map(drop),
        catalog
            .merge(&last, MAIN, &options, &KeysOnly)
            .await
            .map(drop),
        catalog
            .cherry_pick(&last, MAIN, &options, &KeysOnly)
            .await
            .map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("being collected"), "{error}");
    }
    catalog.resolve(&last).await.unwrap();
    let head = catalog.head(MAIN).await.unwrap().id().to_string();
    catalog
        .create_branch("again", &head, "tester")
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_writer_left_and_what_is_not_ours() {
    let (world, lake) = world().await;
    let head = lake.catalog().head(MAIN).await.unwrap();
    let table = lake.table(&head, &key()).await.unwrap();
    // Written, and never committed.
    lake.write(&table, vec![row(NOVEMBER, "p2", 2)])
        .await
        .unwrap();
    let holiday = Path::from("photos/data/holiday.parquet");
    lake.store()
        .object_store()
        .put(&holiday, "beach".into())
        .await
        .unwrap();
    for _ in 0..2 {
        world.store.pass(LONG);
        let report = quiet_collect(&world, &options(false)).await;
        assert_eq!(report.foreign.objects, 1);
    }
    let left = paths(&world).await;
    assert!(left.contains(&holiday));
    let data = left
        .iter()
        .filter(|path| path.as_ref().contains("/data/ts_day"));
    assert_eq!(data.count(), 1);
}

#[tokio::test]
async fn a_damaged_history_deletes_nothing() {
    let (world, lake) = world().await;
    garbage(&lake).await;
    world.store.pass(LONG);
    quiet_collect(&world, &options(false)).await;
    world.store.pass(LONG);
    let head = lake.catalog().head(MAIN).await.unwrap();
    let table = lake.table(&head, &key()).await.unwrap();
    let metadata = lake.store().path(table.metadata_location()).unwrap();
    lake.store().object_store().delete(&metadata).await.unwrap();
    let before = paths(&world).await.len();
    let lake = world.quiet_lake().await;
    let error = lake.collect(&options(false), &|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    // Only the mark it began is new.
    assert_eq!(paths(&world).await.len(), before + 1);
}

#[tokio::test]
async fn a_squashed_commit_says_so_and_gives_up_its_metadata() {
    let (world, lake) = world().await;
    let mut commits = Vec::new();
    for n in 0..6 {
        commits.push(ingest(&lake, n).await);
    }
    lake.catalog()
        .create_tag("kept", &commits[2].to_string(), "tester")
        .await
        .unwrap();
    append(&lake, MAIN).await;

    world.store.pass(LONG);
    let noted = quiet_collect(&world, &squash()).await;
    // Kept are the tagged one and the last before another writer's commit.
    assert_eq!(noted.squashed, 4);
    assert_eq!(noted.condemned.of(Kind::Metadata).objects, 4);
    assert_eq!(noted.condemned.of(Kind::DataFile).objects, 0);
    world.store.pass(LONG);
    // Without the policy what is squashed stays squashed.
    let swept = quiet_collect(&world, &options(false)).await;
    assert_eq!(swept.deleted.of(Kind::Metadata).objects, 4);

    let lake = world.quiet_lake().await;
    let catalog = lake.catalog();
    for (n, kept) in [(0, 2), (1, 2), (3, 5), (4, 5)] {
        let error = catalog.resolve(&commits[n].to_string()).await.unwrap_err();
        assert!(error.message().contains("squashed"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains(&commits[kept].to_string()), "{n}: {hint}");
        let made = catalog
            .create_branch("old", &commits[n].to_string(), "tester")
            .await;
        assert_eq!(made.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let log = catalog.log(MAIN, 100).await.unwrap();
    let squashed = catalog.collector().squashed(&log).await.unwrap();
    assert_eq!(squashed, [0, 1, 3, 4].map(|n| commits[n]).into());
    let options = MergeOptions::default();
    let back = catalog.revert("kept", MAIN, &options, &KeysOnly).await;
    assert!(back.unwrap_err().message().contains("squashed"));
    assert_eq!(
        catalog.log(MAIN, 100).await.unwrap().len(),
        10,
        "the log is whole"
    );
    assert_eq!(rows_on_main(&world).await, 8);
    check(&world, &mut Naive::default()).await;
}
