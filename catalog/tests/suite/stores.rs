//! The local folder as an object store: one winner, no half objects, nothing staged is listed.

use std::path::Path as FsPath;

use catalog::{Store, StoreConfig};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, WriteMultipart};

use crate::{commit, folder, put, sql};

async fn open(path: &FsPath) -> Store {
    let config = StoreConfig {
        url: format!("file://{}", path.display()),
        ..StoreConfig::default()
    };
    Store::open(&config).await.unwrap()
}

async fn names(store: &dyn ObjectStore) -> Vec<String> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut names: Vec<_> = objects
        .into_iter()
        .map(|o| o.location.to_string())
        .collect();
    names.sort();
    names
}

fn files(path: &FsPath) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.file_name().into_string().unwrap()),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn put_if_absent_has_one_winner_of_sixteen() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = Path::from(format!("deep/er/{round}"));
        let store = open(dir.path()).await.object_store();
        let puts = (0..16).map(|i| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(async move {
                let body = vec![i as u8; 10_000];
                store
                    .put_opts(&path, body.into(), PutMode::Create.into())
                    .await
            })
        });
        let mut winner = None;
        for (i, result) in futures::future::join_all(puts)
            .await
            .into_iter()
            .enumerate()
        {
            match result.unwrap() {
                Ok(_) => assert!(winner.replace(i).is_none(), "two winners"),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.to_vec(), vec![winner.unwrap() as u8; 10_000]);
    }
    assert_eq!(files(dir.path()).len(), 10, "nothing staged is left");
}

#[tokio::test]
async fn overwrite_multipart_copy_and_delete_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("new folder/lake"))
        .await
        .object_store();
    let (a, b, c) = (Path::from("x/a"), Path::from("y/z/b"), Path::from("c"));
    store.put(&a, "one".into()).await.unwrap();
    store.put(&a, "two".into()).await.unwrap();
    let mut upload =
        WriteMultipart::new_with_chunk_size(store.put_multipart(&b).await.unwrap(), 1000);
    let body: Vec<u8> = (0..10_500_u32).map(|i| i as u8).collect();
    upload.write(&body);
    assert_eq!(
        names(&*store).await,
        ["x/a"],
        "an upload is not seen before it is complete"
    );
    upload.finish().await.unwrap();
    store.copy(&a, &c).await.unwrap();
    let error = store.copy_if_not_exists(&a, &c).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }));
    assert_eq!(names(&*store).await, ["c", "x/a", "y/z/b"]);
    for (path, expected) in [(&a, b"two".to_vec()), (&b, body), (&c, b"two".to_vec())] {
        let bytes = store.get(path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes.to_vec(), expected, "{path}");
    }
    store.rename(&c, &a).await.unwrap();
    store.delete(&b).await.unwrap();
    assert_eq!(names(&*store).await, ["x/a"]);
    let missing = store.copy(&b, &c).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }));
}

#[tokio::test]
async fn an_upload_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.object_store();
    let path = Path::from("x");
    let mut dropped = store.put_multipart(&path).await.unwrap();
    dropped.put_part(vec![1; 100].into()).await.unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    drop(dropped);
    let mut aborted = store.put_multipart(&path).await.unwrap();
    aborted.put_part(vec![1; 100].into()).await.unwrap();
    aborted.abort().await.unwrap();
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn what_a_crash_leaves_staged_is_never_listed() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = folder(dir.path()).await;
    commit(&catalog, "main", vec![put("a", 1)]).await;
    let refs = dir.path().join("_catalog/refs");
    std::fs::write(refs.join("staged#17"), "half").unwrap();
    std::fs::write(refs.join("main/staged#4"), "half").unwrap();
    let names = names(&*catalog.store().object_store()).await;
    assert!(names.iter().all(|name| !name.contains('#')), "{names:?}");
    let cold = folder(dir.path()).await;
    assert_eq!(
        sql(&cold.head("main").await.unwrap(), "a"),
        Some("1".into())
    );
    assert_eq!(cold.branches().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_copied_folder_is_the_same_lakehouse() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("lake");
    let catalog = folder(&original).await;
    for i in 0..40 {
        commit(&catalog, "main", vec![put("a", i)]).await;
    }
    let backup = dir.path().join("backup");
    std::fs::rename(&original, &backup).unwrap();
    let copy = folder(&backup).await;
    assert_eq!(
        sql(&copy.head("main").await.unwrap(), "a"),
        Some("39".into())
    );
    assert_eq!(copy.log("main", 99).await.unwrap().len(), 41);
}
