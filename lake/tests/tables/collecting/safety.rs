//! What must never be taken for garbage: a lakehouse under another base, what models were trained
//! on, what others have put in the bucket.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use catalog::{Catalog, ErrorKind, MAIN, Store, StoreConfig};
use futures::TryStreamExt;
use lake::Lake;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::phases::{LONG, append, ingest, quiet_collect, squash, world};
use super::world::{World, model};
use super::{GRACE, options, paths};
use crate::support::{NOVEMBER, key, meta, row, spec, totals};

/// The same objects, open under another URL.
async fn moved(world: &World) -> Lake {
    let store = Store::over(Arc::new(world.store.quiet()), "memory://elsewhere");
    Lake::new(Catalog::open(store).await.unwrap())
}

#[tokio::test]
async fn a_lakehouse_under_another_base_is_not_collected() {
    let (world, lake) = world().await;
    let before = paths(&world).await;
    for _ in 0..3 {
        world.store.pass(LONG);
        let lake = moved(&world).await;
        let error = lake.collect(&options(false), &|_| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("memory://lake"), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(paths(&world).await, before, "not even noted");

    // One that does not say where it was created is told by what its tables name.
    let base = Path::from("_catalog/base.json");
    lake.store().object_store().delete(&base).await.unwrap();
    for _ in 0..3 {
        world.store.pass(LONG);
        let lake = moved(&world).await;
        let error = lake.collect(&options(false), &|_| {}).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("another base"), "{error}");
    }
    let left = paths(&world).await;
    let gone: Vec<_> = before.difference(&left).filter(|it| **it != base).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[tokio::test]
async fn squashing_leaves_what_a_model_was_trained_on() {
    let (world, lake) = world().await;
    ingest(&lake, 0).await;
    let base = ingest(&lake, 1).await;
    // The commit trained on does not touch the table that its data set also needs.
    let catalog = lake.catalog();
    let from = base.to_string();
    catalog.create_branch("exp", &from, "tester").await.unwrap();
    let other = "pumps.other".parse().unwrap();
    let made = lake.create_table("exp", &other, &spec(), meta()).await;
    made.unwrap();
    let trained_on = catalog.head("exp").await.unwrap().id();
    for n in 2..5 {
        ingest(&lake, n).await;
    }
    let put = model(&lake, 17, trained_on).await.unwrap();
    let head = catalog.head(MAIN).await.unwrap().id();
    let done = catalog.commit_operations(MAIN, meta(), head, vec![put]);
    done.await.unwrap();
    append(&lake, MAIN).await;
    catalog.delete_branch("exp", "tester").await.unwrap();

    for _ in 0..4 {
        world.store.pass(LONG);
        quiet_collect(&world, &squash()).await;
    }
    let lake = world.quiet_lake().await;
    let snapshot = lake.catalog().resolve(&trained_on.to_string()).await;
    let table = lake.table(&snapshot.unwrap(), &key()).await.unwrap();
    assert_eq!(totals(&lake, &table).await.0, 3);
}

#[tokio::test]
async fn a_folder_that_looks_like_a_table_is_not_one_without_its_metadata() {
    let (world, lake) = world().await;
    let export = Path::from("exports/run-20241101/data/part.parquet");
    let store = lake.store().object_store();
    store.put(&export, "theirs".into()).await.unwrap();

    // A table that was never committed, with data that is younger than its metadata.
    let head = lake.catalog().head(MAIN).await.unwrap();
    let lost = "pumps.lost".parse().unwrap();
    let created = lake.stage_create(&head, &lost, &spec()).await.unwrap();
    let working = head.with(&[created]).unwrap();
    let table = lake.table(&working, &lost).await.unwrap();
    world.store.pass(GRACE * 3 / 4);
    let rows = vec![row(NOVEMBER, "p1", 1)];
    lake.write(&table, rows).await.unwrap();
    world.store.pass(GRACE / 2);
    let noted = quiet_collect(&world, &options(false)).await;
    assert_eq!(noted.condemned.total().objects, 1);
    assert_eq!(noted.young.total().objects, 1);
    for _ in 0..2 {
        world.store.pass(LONG);
        quiet_collect(&world, &options(false)).await;
    }
    let left = paths(&world).await;
    assert!(left.contains(&export));
    let lost = left.iter().find(|path| path.as_ref().contains("/lost-"));
    assert_eq!(lost, None);
}

#[tokio::test]
async fn a_name_that_no_path_can_hold_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        url: folder.path().to_str().unwrap().to_owned(),
        ..StoreConfig::default()
    };
    let store = Store::open(&config).await.unwrap();
    let lake = Lake::new(Catalog::open(store).await.unwrap());
    let made = lake.create_table(MAIN, &key(), &spec(), meta()).await;
    made.unwrap();
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    let name = OsStr::from_bytes(b"\xff.log");
    std::fs::write(folder.path().join("logs").join(name), "x").unwrap();
    let all = lake.store().object_store().list(None);
    let listed = all.try_collect::<Vec<_>>().await;
    assert!(matches!(
        listed,
        Err(object_store::Error::InvalidPath { .. })
    ));
    let report = lake.collect(&options(false), &|_| {}).await.unwrap();
    assert_eq!(report.commits, 2);
}
