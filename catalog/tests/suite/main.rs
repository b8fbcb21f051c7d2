//! The catalog against real stores: a model-based property test, races, merges, errors.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod concurrency;
mod cost;
mod errors;
mod grouping;
mod history;
mod merging;
mod model;
mod moving;
mod naming;
mod property;
mod s3;
mod stores;

use catalog::{
    Catalog, CommitId, CommitMeta, Content, Key, KeysOnly, MergeOptions, MergeReport, Operation,
    Result, Snapshot, Store, StoreConfig,
};
use uuid::Uuid;

fn key(name: &str) -> Key {
    Key::new("ns", name).unwrap()
}

fn view(sql: impl ToString) -> Content {
    Content::View {
        uuid: Uuid::nil(),
        metadata_location: sql.to_string(),
    }
}

fn put(name: &str, sql: impl ToString) -> Operation {
    Operation::Put {
        key: key(name),
        content: view(sql),
    }
}

fn delete(name: &str) -> Operation {
    Operation::Delete { key: key(name) }
}

fn meta(message: impl ToString) -> CommitMeta {
    CommitMeta::new("tester", message.to_string())
}

fn sql(snapshot: &Snapshot, name: &str) -> Option<String> {
    match snapshot.get(&key(name)).unwrap()? {
        Content::View {
            metadata_location, ..
        } => Some(metadata_location),
        _ => None,
    }
}

async fn memory() -> Catalog {
    Catalog::open(Store::memory()).await.unwrap()
}

async fn folder(path: &std::path::Path) -> Catalog {
    let config = StoreConfig {
        url: path.to_str().unwrap().to_string(),
        ..StoreConfig::default()
    };
    Catalog::open(Store::open(&config).await.unwrap())
        .await
        .unwrap()
}

/// Commits on the newest head.
async fn commit(catalog: &Catalog, branch: &str, operations: Vec<Operation>) -> Snapshot {
    let base = head_id(catalog, branch).await;
    let meta = meta(format!("{} operations", operations.len()));
    catalog
        .commit_operations(branch, meta, base, operations)
        .await
        .unwrap()
}

async fn head_id(catalog: &Catalog, branch: &str) -> CommitId {
    catalog.head(branch).await.unwrap().id()
}

/// Merges by key; `Conflict` where that cannot be.
async fn merge(catalog: &Catalog, source: &str, target: &str) -> Result<MergeReport> {
    let options = MergeOptions {
        author: "ada".into(),
        ..MergeOptions::default()
    };
    let report = catalog.merge(source, target, &options, &KeysOnly).await?;
    report.into_result()
}
