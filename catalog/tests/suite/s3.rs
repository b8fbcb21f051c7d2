//! The catalog on a real S3 store, Ceph RGW, started by `scripts/ceph.sh`.

use std::collections::HashMap;
use std::path::Path as FsPath;
use std::process::Command;

use catalog::{Catalog, ErrorKind, S3Config, Store, StoreConfig};
use futures::future::{join_all, try_join_all};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::{commit, merge, put, sql};

struct Ceph {
    folder: tempfile::TempDir,
    config: StoreConfig,
}

impl Ceph {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        script("start", folder.path());
        let text = std::fs::read_to_string(folder.path().join("s3.env")).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let values: HashMap<_, _> = lines.collect();
        let value = |name: &str| Some(values[name].to_string());
        let config = StoreConfig {
            url: format!("s3://{}/deep/prefix", values["bucket"]),
            s3: S3Config {
                endpoint: value("endpoint"),
                region: value("region"),
                access_key: value("access_key"),
                secret_key: value("secret_key"),
            },
        };
        Self { folder, config }
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        script("stop", self.folder.path());
    }
}

fn script(action: &str, folder: &FsPath) {
    let script = FsPath::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/ceph.sh");
    let status = Command::new(script)
        .arg(action)
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success(), "ceph.sh {action}");
}

/// One test, because starting the cluster takes longest.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_catalog_works_on_ceph() {
    let ceph = Ceph::start();
    wrong_settings_are_told_apart(&ceph.config).await;
    put_if_absent_has_one_winner(&ceph.config).await;
    four_catalogs_commit_at_once(&ceph.config).await;
}

async fn wrong_settings_are_told_apart(config: &StoreConfig) {
    let mut secret = config.clone();
    secret.s3.secret_key = Some("wrong".into());
    let mut bucket = config.clone();
    bucket.url = "s3://no-such-bucket".into();
    for (config, kind) in [
        (secret, ErrorKind::PermissionDenied),
        (bucket, ErrorKind::NotFound),
    ] {
        let error = Store::open(&config).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().is_some());
    }
}

async fn put_if_absent_has_one_winner(config: &StoreConfig) {
    let store = Store::open(config).await.unwrap().object_store();
    for round in 0..20 {
        let path = Path::from(format!("race/{round}"));
        let puts =
            (0..16_u8).map(|i| store.put_opts(&path, vec![i].into(), PutMode::Create.into()));
        let results = join_all(puts).await;
        let winners: Vec<_> = (0..16_u8)
            .filter(|i| results[usize::from(*i)].is_ok())
            .collect();
        let held = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(winners, held.to_vec());
    }
}

async fn four_catalogs_commit_at_once(config: &StoreConfig) {
    let open = || async { Catalog::open(Store::open(config).await?).await };
    let catalogs = try_join_all((0..4).map(|_| open())).await.unwrap();
    let tasks = (0..8).map(|task| {
        let catalog = catalogs[task % 4].clone();
        tokio::spawn(async move {
            for i in 0..15 {
                commit(&catalog, "main", vec![put(&format!("t{task}"), i)]).await;
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let cold = open().await.unwrap();
    let head = cold.head("main").await.unwrap();
    assert!((0..8).all(|task| sql(&head, &format!("t{task}")) == Some("14".into())));
    let log = cold.log("main", 999).await.unwrap();
    assert_eq!(log.len(), 8 * 15 + 1);
    let middle = log[60].id;
    let found = cold
        .resolve(&format!("main@{}", middle.short()))
        .await
        .unwrap();
    assert_eq!(found.id(), middle);
    cold.create_branch("team/x", "main", "ada").await.unwrap();
    commit(&cold, "team/x", vec![put("t0", "x")]).await;
    merge(&catalogs[0], "team/x", "main").await.unwrap();
    let names: Vec<_> = cold
        .branches()
        .await
        .unwrap()
        .into_iter()
        .map(|b| b.name)
        .collect();
    assert_eq!(names, ["main", "team/x"]);
    assert_eq!(
        sql(&cold.head("main").await.unwrap(), "t0"),
        Some("x".into())
    );
}
