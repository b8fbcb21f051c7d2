//! Random histories over several catalogs that share a store, against the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{
    Catalog, Change, ChangeSet, CommitId, Content, ErrorKind, MergeOutcome, Operation, Result,
    Snapshot, Store,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::model::{Expected, Model, Node, State, state_of};
use crate::{key, meta, view};

const BRANCHES: [&str; 4] = ["main", "dev", "exp/a", "exp"];
const CATALOGS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// Operations made on the commit `back` first parents before the head.
    Commit {
        branch: usize,
        back: usize,
        changes: Vec<(u8, Option<u8>)>,
        mark: Option<u64>,
    },
    /// As many concurrent commits, each to a key of its own.
    Burst {
        branch: usize,
        size: u8,
    },
    Create {
        branch: usize,
        from: usize,
    },
    Delete {
        branch: usize,
    },
    Merge {
        source: usize,
        target: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let branch = || 0..BRANCHES.len();
    let changes = prop::collection::vec((0u8..6, prop::option::weighted(0.8, 0u8..4)), 1..4);
    let step = prop_oneof![
        8 => (branch(), prop_oneof![4 => Just(0usize), 1 => 0usize..12], changes, prop::option::of(0u64..99))
            .prop_map(|(branch, back, changes, mark)| Step::Commit { branch, back, changes, mark }),
        1 => (branch(), 2u8..40).prop_map(|(branch, size)| Step::Burst { branch, size }),
        3 => (branch(), branch()).prop_map(|(branch, from)| Step::Create { branch, from }),
        1 => branch().prop_map(|branch| Step::Delete { branch }),
        4 => (branch(), branch()).prop_map(|(source, target)| Step::Merge { source, target }),
    ];
    prop::collection::vec((0..CATALOGS, step), 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}

async fn run(steps: Vec<(usize, Step)>) {
    let store = Store::memory();
    let mut catalogs = Vec::new();
    for _ in 0..CATALOGS {
        catalogs.push(Catalog::open(store.clone()).await.unwrap());
    }
    let mut model = Model::default();
    let root = catalogs[0].head("main").await.unwrap();
    let node = Node {
        parents: vec![],
        state: State::new(),
        watermark: None,
    };
    model.insert("main", root.id(), node);
    for (catalog, step) in steps {
        take(&catalogs[catalog], &mut model, step).await;
    }
    for catalog in &catalogs {
        check_heads(catalog, &model).await;
    }
    // A catalog with empty caches reads everything from the store.
    let cold = Catalog::open(store.clone()).await.unwrap();
    check_heads(&cold, &model).await;
    check_history(&store, &model).await;
}

async fn take(catalog: &Catalog, model: &mut Model, step: Step) {
    match step {
        Step::Commit {
            branch,
            back,
            changes,
            mark,
        } => {
            commit(catalog, model, BRANCHES[branch], back, &changes, mark).await;
        }
        Step::Burst { branch, size } => burst(catalog, model, BRANCHES[branch], size).await,
        Step::Create { branch, from } => {
            create(catalog, model, BRANCHES[branch], BRANCHES[from]).await;
        }
        Step::Delete { branch } => delete(catalog, model, BRANCHES[branch]).await,
        Step::Merge { source, target } => {
            merge(catalog, model, BRANCHES[source], BRANCHES[target]).await;
        }
    }
}

/// The changes as operations that are right on `state`: one a key, deletes of what is there.
fn operations(state: &State, changes: &[(u8, Option<u8>)]) -> Vec<Operation> {
    let changes: BTreeMap<_, _> = changes.iter().copied().collect();
    let operation = |(name, value): (u8, Option<u8>)| {
        let key = key(&format!("t{name}"));
        match value {
            Some(value) => Some(Operation::Put {
                key,
                content: view(value),
            }),
            None => state
                .contains_key(&key)
                .then_some(Operation::Delete { key }),
        }
    };
    changes.into_iter().filter_map(operation).collect()
}

async fn commit(
    catalog: &Catalog,
    model: &mut Model,
    branch: &str,
    back: usize,
    changes: &[(u8, Option<u8>)],
    mark: Option<u64>,
) {
    let mut meta = meta("commit");
    if let Some(mark) = mark {
        meta.properties
            .insert("watermark.ing".into(), mark.to_string());
    }
    let Some(head) = model.branches.get(branch).copied() else {
        let error = catalog
            .commit(branch, meta, Arc::new(Set(vec![])))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        return;
    };
    let line = model.line(head);
    let base = line[back.min(line.len() - 1)];
    let operations = operations(model.state(base), changes);
    if operations.is_empty() {
        return;
    }
    let stale = operations.iter().any(|operation| {
        model.state(base).get(operation.key()) != model.state(head).get(operation.key())
    });
    let result = catalog
        .commit_operations(branch, meta, base, operations.clone())
        .await;
    match (stale, result) {
        (false, Ok(snapshot)) => model.add(branch, &snapshot, &operations, mark),
        (true, Err(error)) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        (_, result) => panic!("stale: {stale}, got {result:?}"),
    }
}

struct Set(Vec<Operation>);

#[async_trait]
impl Change for Set {
    async fn apply(&self, _: &Snapshot) -> Result<ChangeSet> {
        Ok(ChangeSet {
            operations: self.0.clone(),
            ..ChangeSet::default()
        })
    }
}

async fn burst(catalog: &Catalog, model: &mut Model, branch: &str, size: u8) {
    if !model.branches.contains_key(branch) {
        return;
    }
    let commits = (0..size).map(|i| async move {
        let operations = vec![Operation::Put {
            key: key(&format!("b{i}")),
            content: view(i),
        }];
        let change = Arc::new(Set(operations.clone()));
        (
            catalog.commit(branch, meta(i), change).await.unwrap(),
            operations,
        )
    });
    let mut made = futures::future::join_all(commits).await;
    made.sort_by_key(|(snapshot, _)| snapshot.commit().depth);
    for (snapshot, operations) in made {
        assert_eq!(snapshot.commit().parent, Some(model.branches[branch]));
        model.add(branch, &snapshot, &operations, None);
        assert_eq!(&state_of(&snapshot), model.state(snapshot.id()));
    }
}

async fn create(catalog: &Catalog, model: &mut Model, branch: &str, from: &str) {
    let result = catalog.create_branch(branch, from, "ada").await;
    let Some(head) = model.branches.get(from).copied() else {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
        return;
    };
    if model.branches.contains_key(branch) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::AlreadyExists);
        return;
    }
    assert_eq!(result.unwrap().id, head);
    model.branches.insert(branch.to_string(), head);
}

async fn delete(catalog: &Catalog, model: &mut Model, branch: &str) {
    let result = catalog.delete_branch(branch, "ada").await;
    if branch == "main" {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    } else if model.branches.remove(branch).is_some() {
        result.unwrap();
    } else {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

async fn merge(catalog: &Catalog, model: &mut Model, source: &str, target: &str) {
    let result = crate::merge(catalog, source, target).await;
    let (Some(from), Some(to)) = (model.branches.get(source), model.branches.get(target)) else {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
        return;
    };
    let (from, to) = (*from, *to);
    let expected = model.merge(from, to);
    let merged = match &result {
        Ok(report) => match report.commit {
            Some(id) => Some(catalog.snapshot(id).await.unwrap()),
            None => None,
        },
        Err(_) => None,
    };
    let got = match (&result, &merged) {
        (Ok(report), Some(_)) if report.outcome == MergeOutcome::FastForward => {
            Expected::FastForward
        }
        (Ok(_), Some(snapshot)) => Expected::Merged(state_of(snapshot)),
        (Ok(_), None) => Expected::UpToDate,
        (Err(error), _) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            let named = |keys: &Vec<_>| {
                keys.iter()
                    .all(|k| error.message().contains(&format!("{k} (")))
            };
            let conflict = expected.iter().find_map(|e| match e {
                Expected::Conflict(keys) if named(keys) => Some(keys.clone()),
                _ => None,
            });
            Expected::Conflict(conflict.unwrap_or_default())
        }
    };
    assert!(
        expected.contains(&got),
        "got {got:?}, expected one of {expected:?}"
    );
    match (got, merged) {
        (Expected::FastForward, _) => {
            model.branches.insert(target.to_string(), from);
        }
        (Expected::Merged(state), Some(snapshot)) => {
            let watermark = model.nodes[&to].watermark;
            let node = Node {
                parents: vec![to, from],
                state,
                watermark,
            };
            model.insert(target, snapshot.id(), node);
        }
        _ => {}
    }
}

async fn check_heads(catalog: &Catalog, model: &Model) {
    let listed = catalog.branches().await.unwrap();
    let listed: BTreeMap<_, _> = listed.into_iter().map(|b| (b.name, b.commit.id)).collect();
    assert_eq!(listed, model.branches);
    for (branch, id) in &model.branches {
        let head = catalog.head(branch).await.unwrap();
        assert_eq!(head.id(), *id);
        assert_eq!(&state_of(&head), model.state(*id));
        assert_eq!(head.watermark("ing"), model.nodes[id].watermark);
    }
}

/// Every acknowledged commit is in its branch's history, verifies, and stands for the state
/// that a replay from the root gives.
async fn check_history(store: &Store, model: &Model) {
    for (branch, id) in &model.branches {
        // New for each branch, so that states come from checkpoints, not from a warm cache.
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let log = catalog.log(branch, usize::MAX).await.unwrap();
        let ids: Vec<CommitId> = log.iter().map(|commit| commit.id).collect();
        assert_eq!(ids, model.line(*id));
        let mut replayed = BTreeMap::<_, Content>::new();
        for commit in log.iter().rev() {
            assert_eq!(
                hash_of_stored(store, commit.id).await,
                commit.id.to_string()
            );
            for operation in &commit.operations {
                match operation {
                    Operation::Put { key, content } => {
                        replayed.insert(key.clone(), content.clone())
                    }
                    Operation::Delete { key } => replayed.remove(key),
                };
            }
            assert_eq!(&replayed, model.state(commit.id));
        }
        for commit in log.iter().step_by(7) {
            let hash = commit.id.to_string();
            let by_hash = catalog
                .resolve(&format!("{branch}@{}", &hash[..10]))
                .await
                .unwrap();
            assert_eq!(&state_of(&by_hash), model.state(commit.id));
        }
    }
}

async fn hash_of_stored(store: &Store, id: CommitId) -> String {
    use object_store::ObjectStoreExt;
    let id = id.to_string();
    let path = object_store::path::Path::from(format!("_catalog/commits/{}/{id}.json", &id[..2]));
    let bytes = store
        .object_store()
        .get(&path)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
