//! What must hold after any history.

use std::collections::BTreeMap;

use catalog::{Catalog, CommitId, Store};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};

use crate::model::{Model, Ref, State, apply, state_of};

/// Every ref is where the model has it, with the state the model has.
pub(super) async fn heads(catalog: &Catalog, model: &Model) {
    let listed = catalog.refs().await.unwrap().into_iter();
    let listed: BTreeMap<_, _> = listed
        .map(|info| {
            let (kind, commit, protected) = (info.kind, info.commit.id, info.protected);
            (
                info.name,
                Ref {
                    kind,
                    commit,
                    protected,
                },
            )
        })
        .collect();
    assert_eq!(listed, model.refs);
    for (name, at) in &model.refs {
        let head = catalog.head(name).await.unwrap();
        assert_eq!(head.id(), at.commit);
        assert_eq!(&state_of(&head), model.state(at.commit));
        assert_eq!(head.len(), model.state(at.commit).len());
        assert_eq!(head.watermark("ing"), model.nodes[&at.commit].watermark);
    }
}

/// The log of every name, deleted ones included, says where it went; `name@time` says so too.
pub(super) async fn logs(catalog: &Catalog, model: &Model) {
    for (name, moves) in &model.moves {
        let mut log = catalog.ref_log(name, usize::MAX).await.unwrap();
        log.reverse();
        assert!(log.is_sorted_by_key(|entry| entry.time));
        assert!(
            log.iter()
                .map(|entry| entry.number)
                .eq(1..=log.len() as u64)
        );
        // Commits that were made at once may share an entry: then it names the last.
        let mut left = moves.iter();
        assert!(
            log.iter()
                .all(|entry| left.any(|commit| *commit == entry.commit))
        );
        assert_eq!(left.next(), None);
        if !model.refs.contains_key(name) {
            continue;
        }
        for entry in &log {
            let then = log.iter().rfind(|other| other.time <= entry.time).unwrap();
            let spec = format!("{name}@{}", entry.time.to_rfc3339());
            let found = catalog.resolve_commit(&spec).await;
            assert_eq!(found.ok().map(|commit| commit.id), then.commit, "{spec}");
        }
    }
}

/// Every acknowledged commit is in its ref's history, verifies, and stands for the state that a
/// replay from the root gives.
pub(super) async fn history(store: &Store, model: &Model) {
    for (name, at) in &model.refs {
        // New for each ref, so that states come from checkpoints, not from a warm cache.
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let log = catalog.log(name, usize::MAX).await.unwrap();
        let ids: Vec<CommitId> = log.iter().map(|commit| commit.id).collect();
        assert_eq!(ids, model.line(at.commit));
        let mut replayed = State::new();
        for commit in log.iter().rev() {
            let stored = hash_of_stored(store, commit.id).await;
            assert_eq!(stored, commit.id.to_string());
            apply(&mut replayed, &commit.operations);
            assert_eq!(&replayed, model.state(commit.id));
        }
        for (back, commit) in log.iter().enumerate().step_by(7) {
            let hash = commit.id.to_string();
            for spec in [
                format!("{name}@{}", &hash[..10]),
                format!("{name}~{back}"),
                hash[..16].to_string(),
            ] {
                let found = catalog.resolve(&spec).await.unwrap();
                assert_eq!(&state_of(&found), model.state(commit.id), "{spec}");
            }
        }
    }
}

async fn hash_of_stored(store: &Store, id: CommitId) -> String {
    let id = id.to_string();
    let path = object_store::path::Path::from(format!("_catalog/commits/{}/{id}.json", &id[..2]));
    let found = store.object_store().get(&path).await.unwrap();
    let bytes = found.bytes().await.unwrap();
    let hash = Sha256::digest(&bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
