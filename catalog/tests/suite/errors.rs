//! What users do wrong, and what the surroundings do: each a clear error with a way out.

use catalog::{Catalog, ErrorKind, S3Config, Store, StoreConfig};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::{commit, delete, head_id, memory, merge, meta, put};

#[tokio::test]
async fn an_unknown_branch_lists_the_branches() {
    let catalog = memory().await;
    catalog.create_branch("dev", "main", "ada").await.unwrap();
    for spec in ["dve", "dve@2026-01-01"] {
        let error = catalog.resolve(spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hint(), Some("branches: dev, main"));
        assert!(error.message().contains("dve"));
    }
}

#[tokio::test]
async fn main_cannot_be_deleted() {
    let error = memory()
        .await
        .delete_branch("main", "ada")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn bad_branch_names_are_refused() {
    let catalog = memory().await;
    let long = "a".repeat(256);
    let hash = "a".repeat(64);
    for name in [
        "", ".a", "/a", "-a", "a..b", "a//b", "a/", "a b", "a@b", "ä", "a=b", &long, &hash,
    ] {
        let error = catalog
            .create_branch(name, "main", "ada")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        assert!(error.hint().is_some());
    }
    let longest = "b".repeat(255);
    for name in [
        "a",
        "_a",
        "0",
        "a/b/c",
        "a.b",
        "a/./b",
        "v1.0-rc_2",
        &longest,
    ] {
        catalog.create_branch(name, "main", "ada").await.unwrap();
    }
    assert_eq!(catalog.branches().await.unwrap().len(), 9);
}

#[tokio::test]
async fn wrong_operations_commit_nothing() {
    let catalog = memory().await;
    let head = commit(&catalog, "main", vec![put("a", 1)]).await;
    let bad_key = catalog::Key {
        namespace: "ns".into(),
        name: "no name".into(),
    };
    let bad_key = catalog::Operation::Put {
        key: bad_key,
        content: crate::view(1),
    };
    for (operations, kind) in [
        (vec![delete("nothing")], ErrorKind::NotFound),
        (vec![put("a", 2), delete("a")], ErrorKind::InvalidInput),
        (vec![bad_key], ErrorKind::InvalidInput),
    ] {
        let result = catalog
            .commit_operations("main", meta("x"), head.id(), operations)
            .await;
        assert_eq!(result.unwrap_err().kind(), kind);
    }
    let mut mark = meta("x");
    mark.properties.insert("watermark.a".into(), "far".into());
    let result = catalog
        .commit_operations("main", mark, head.id(), vec![put("b", 1)])
        .await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(head_id(&catalog, "main").await, head.id());
}

#[tokio::test]
async fn unknown_commits_are_not_found() {
    let catalog = memory().await;
    for spec in ["f".repeat(64), "main@ffffffff".to_string()] {
        let error = catalog.resolve(&spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{spec}");
    }
    let error = catalog.resolve("main@soon").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// A store holding a second lakehouse's history cannot be merged with the first's; such a commit
/// gets there only by hand.
#[tokio::test]
async fn unrelated_histories_do_not_merge() {
    let catalog = memory().await;
    let head = commit(&catalog, "main", vec![put("a", 1)]).await;
    let store = catalog.store().object_store();
    let root = catalog.log("main", 9).await.unwrap().pop().unwrap();
    let bytes = read(&*store, &commit_path(root.id)).await;
    let foreign = String::from_utf8(bytes)
        .unwrap()
        .replace("create the lakehouse", "alien");
    let id = sha256(foreign.as_bytes());
    store
        .put(&commit_path(id.parse().unwrap()), foreign.into())
        .await
        .unwrap();
    let error = merge(&catalog, &id, "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(head_id(&catalog, "main").await, head.id());
}

#[tokio::test]
async fn damaged_objects_are_reported_as_corrupt() {
    let store = Store::memory();
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let head = commit(&catalog, "main", vec![put("a", 1)]).await;
    let objects = store.object_store();
    let path = commit_path(head.id());
    let mut bytes = read(&*objects, &path).await;
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    objects.put(&path, bytes.into()).await.unwrap();
    let cold = Catalog::open(store).await.unwrap();
    let error = cold.head("main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains(&head.id().to_string()));
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Vec<u8> {
    store
        .get(path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec()
}

fn commit_path(id: catalog::CommitId) -> Path {
    let id = id.to_string();
    Path::from(format!("_catalog/commits/{}/{id}.json", &id[..2]))
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn s3(endpoint: &str, access_key: Option<&str>) -> StoreConfig {
    StoreConfig {
        url: "s3://lake/x".into(),
        s3: S3Config {
            endpoint: Some(endpoint.into()),
            region: None,
            access_key: access_key.map(Into::into),
            secret_key: Some("secret".into()),
        },
    }
}

#[tokio::test]
async fn an_endpoint_nobody_listens_on_is_unavailable() {
    // Port 1 of the loopback address: refused at once.
    let error = Store::open(&s3("http://127.0.0.1:1", Some("key")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("http://127.0.0.1:1"), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn an_endpoint_without_a_scheme_is_refused() {
    let error = Store::open(&s3("localhost:9000", Some("key")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[tokio::test]
async fn a_file_in_the_way_of_the_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lake");
    std::fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let url = path.to_str().unwrap().to_string();
        let config = StoreConfig {
            url,
            ..StoreConfig::default()
        };
        let error = Store::open(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("lake"));
    }
}
