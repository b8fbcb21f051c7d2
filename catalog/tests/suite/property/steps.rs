//! Takes one step on a catalog and on the model, and holds the answers against each other.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Catalog, Change, ChangeSet, ErrorKind, Operation, RefKind, Result, Snapshot};

use super::{Changes, NAMES, Step, merges};
use crate::model::{Model, Ref, State, state_of};
use crate::{key, meta, view};

pub(super) async fn take(catalog: &Catalog, model: &mut Model, step: Step) {
    match step {
        Step::Commit {
            branch,
            back,
            changes,
            mark,
            automatic,
        } => {
            commit(
                catalog,
                model,
                NAMES[branch],
                back,
                &changes,
                mark,
                automatic,
            )
            .await;
        }
        Step::Burst { branch, size } => burst(catalog, model, NAMES[branch], size).await,
        Step::Create {
            name,
            from,
            back,
            tag,
        } => create(catalog, model, NAMES[name], (NAMES[from], back), kind(tag)).await,
        Step::Delete { name, tag } => delete(catalog, model, NAMES[name], kind(tag)).await,
        Step::Merge {
            source,
            target,
            resolve,
            dry_run,
        } => {
            merges::merge(
                catalog,
                model,
                NAMES[source],
                NAMES[target],
                resolve,
                dry_run,
            )
            .await;
        }
        Step::Again {
            commit,
            back,
            branch,
            revert,
            resolve,
        } => {
            merges::again(
                catalog,
                model,
                (NAMES[commit], back),
                NAMES[branch],
                revert,
                resolve,
            )
            .await;
        }
        Step::Reset { branch, to, back } => {
            reset(catalog, model, NAMES[branch], (NAMES[to], back)).await;
        }
        Step::Rename { old, new } => rename(catalog, model, NAMES[old], NAMES[new]).await,
        Step::Protect { branch, on } => protect(catalog, model, NAMES[branch], on).await,
    }
}

fn kind(tag: bool) -> RefKind {
    match tag {
        true => RefKind::Tag,
        false => RefKind::Branch,
    }
}

/// The answer, where the model expects none of the errors; else checks that it is that error.
pub(super) fn agree<T: Debug, E>(
    result: Result<T>,
    expected: Result<E, ErrorKind>,
) -> Option<(T, E)> {
    match (result, expected) {
        (Ok(answer), Ok(expected)) => Some((answer, expected)),
        (Err(error), Err(expected)) => {
            assert_eq!(error.kind(), expected, "{error}");
            None
        }
        (Ok(answer), Err(expected)) => panic!("got {answer:?}, expected {expected:?}"),
        (Err(error), Ok(_)) => panic!("{error}"),
    }
}

/// The changes as operations that are right on `state`: one a key, deletes of what is there.
fn operations(state: &State, changes: &Changes) -> Vec<Operation> {
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
    changes: &Changes,
    mark: Option<u64>,
    automatic: bool,
) {
    let mut meta = meta("commit");
    meta.automatic = automatic;
    if let Some(mark) = mark {
        meta.properties
            .insert("watermark.ing".into(), mark.to_string());
    }
    let expected = match automatic {
        true => model.find(branch, RefKind::Branch),
        false => model.open(branch),
    };
    let Ok(head) = expected else {
        let change = Arc::new(Set(vec![crate::put("t0", 0)]));
        agree(catalog.commit(branch, meta, change).await, expected);
        return;
    };
    let line = model.line(head.commit);
    let base = line[back.min(line.len() - 1)];
    let operations = operations(model.state(base), changes);
    if operations.is_empty() {
        return;
    }
    let stale = operations.iter().any(|operation| {
        let key = operation.key();
        model.state(base).get(key) != model.state(head.commit).get(key)
    });
    let result = catalog
        .commit_operations(branch, meta, base, operations.clone())
        .await;
    let expected = if stale {
        Err(ErrorKind::Conflict)
    } else {
        Ok(())
    };
    if let Some((snapshot, ())) = agree(result, expected) {
        model.add(branch, &snapshot, &operations, mark);
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
    if model.find(branch, RefKind::Branch).is_err() {
        return;
    }
    let commits = (0..size).map(|i| async move {
        let operations = vec![crate::put(&format!("b{i}"), i)];
        let change = Arc::new(Set(operations.clone()));
        let commit = catalog.commit(branch, meta(i).automatic(), change);
        (commit.await.unwrap(), operations)
    });
    let mut made = futures::future::join_all(commits).await;
    made.sort_by_key(|(snapshot, _)| snapshot.commit().depth);
    for (snapshot, operations) in made {
        assert_eq!(snapshot.commit().parent, Some(model.refs[branch].commit));
        model.add(branch, &snapshot, &operations, None);
        assert_eq!(&state_of(&snapshot), model.state(snapshot.id()));
    }
}

/// `name~back` as it is written.
pub(super) fn spec((name, back): (&str, usize)) -> String {
    match back {
        0 => name.to_string(),
        back => format!("{name}~{back}"),
    }
}

async fn create(
    catalog: &Catalog,
    model: &mut Model,
    name: &str,
    from: (&str, usize),
    kind: RefKind,
) {
    let result = match kind {
        RefKind::Branch => catalog.create_branch(name, &spec(from), "ada").await,
        RefKind::Tag => catalog.create_tag(name, &spec(from), "ada").await,
    };
    let expected = model.back(from.0, from.1).and_then(|commit| {
        let taken = model.refs.contains_key(name);
        if taken {
            Err(ErrorKind::AlreadyExists)
        } else {
            Ok(commit)
        }
    });
    if let Some((commit, expected)) = agree(result, expected) {
        assert_eq!(commit.id, expected);
        model.create(name, kind, expected);
    }
}

async fn delete(catalog: &Catalog, model: &mut Model, name: &str, kind: RefKind) {
    let result = match kind {
        RefKind::Branch => catalog.delete_branch(name, "ada").await,
        RefKind::Tag => catalog.delete_tag(name, "ada").await,
    };
    let expected = match (name, kind) {
        ("main", _) => Err(ErrorKind::InvalidInput),
        (_, RefKind::Branch) => model.open(name),
        (_, RefKind::Tag) => model.find(name, kind),
    };
    if agree(result, expected).is_some() {
        model.set(name, None);
    }
}

async fn reset(catalog: &Catalog, model: &mut Model, branch: &str, to: (&str, usize)) {
    let result = catalog.reset_branch(branch, &spec(to), "ada").await;
    let expected = model
        .back(to.0, to.1)
        .and_then(|commit| model.open(branch).map(|_| commit));
    let Some((commit, target)) = agree(result, expected) else {
        return;
    };
    let mark = model.nodes[&model.refs[branch].commit].watermark;
    let mut node = model.nodes[&target].clone();
    if mark > node.watermark {
        // A commit on top keeps the ingester's position.
        assert_eq!((commit.parent, commit.operations.len()), (Some(target), 0));
        (node.parents, node.watermark) = (vec![target], mark);
        model.nodes.insert(commit.id, node);
    } else {
        assert_eq!(commit.id, target);
    }
    model.go(branch, commit.id);
}

async fn rename(catalog: &Catalog, model: &mut Model, old: &str, new: &str) {
    let result = catalog.rename_branch(old, new, "ada").await;
    let expected = match old == "main" || old == new {
        true => Err(ErrorKind::InvalidInput),
        false => model.open(old),
    };
    let taken = model.refs.contains_key(new);
    let expected = expected.and_then(|head| match taken {
        true => Err(ErrorKind::AlreadyExists),
        false => Ok(head),
    });
    if let Some(((), head)) = agree(result, expected) {
        model.set(new, Some(head));
        model.set(old, None);
    }
}

async fn protect(catalog: &Catalog, model: &mut Model, branch: &str, protected: bool) {
    let result = catalog.protect_branch(branch, protected, "ada").await;
    let expected = model.find(branch, RefKind::Branch);
    if let Some(((), head)) = agree(result, expected)
        && head.protected != protected
    {
        model.set(branch, Some(Ref { protected, ..head }));
    }
}
