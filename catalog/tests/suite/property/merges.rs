//! Merges, cherry-picks and reverts.

use catalog::{
    Catalog, CommitId, ErrorKind, KeysOnly, MergeOptions, MergeOutcome, MergeReport, RefKind, Side,
    Snapshot,
};

use super::steps::{agree, spec};
use crate::model::{Expected, Model, Node, state_of};

fn options(resolve: Option<Side>, dry_run: bool) -> MergeOptions {
    MergeOptions {
        author: "ada".into(),
        resolve_rest: resolve,
        dry_run,
        ..MergeOptions::default()
    }
}

pub(super) async fn merge(
    catalog: &Catalog,
    model: &mut Model,
    source: &str,
    target: &str,
    resolve: Option<Side>,
    dry_run: bool,
) {
    let options = options(resolve, dry_run);
    let result = catalog.merge(source, target, &options, &KeysOnly).await;
    let from = model.back(source, 0);
    let expected = from.and_then(|from| Ok((from, model.find(target, RefKind::Branch)?.commit)));
    let Some((report, (from, to))) = agree(result, expected) else {
        return;
    };
    let expected = model.merge(from, to, resolve);
    let merged = check(catalog, &report, to, &expected, dry_run).await;
    match report.outcome {
        MergeOutcome::FastForward if !dry_run => model.go(target, from),
        _ => land(model, target, merged, vec![to, from]),
    }
}

pub(super) async fn again(
    catalog: &Catalog,
    model: &mut Model,
    commit: (&str, usize),
    branch: &str,
    revert: bool,
    resolve: Option<Side>,
) {
    let (spec, options) = (spec(commit), options(resolve, false));
    let result = match revert {
        true => catalog.revert(&spec, branch, &options, &KeysOnly).await,
        false => {
            catalog
                .cherry_pick(&spec, branch, &options, &KeysOnly)
                .await
        }
    };
    let source = model.back(commit.0, commit.1);
    let expected = source.and_then(|id| {
        let to = model.open(branch)?.commit;
        let parent = model.nodes[&id].parents.first();
        Ok((id, *parent.ok_or(ErrorKind::InvalidInput)?, to))
    });
    let Some((report, (id, parent, to))) = agree(result, expected) else {
        return;
    };
    let (base, theirs) = if revert { (id, parent) } else { (parent, id) };
    let expected = match model.three_way(base, theirs, to, resolve) {
        _ if !revert && model.ancestors(to).contains(&id) => Expected::UpToDate,
        Expected::Merged(state) if &state == model.state(to) => Expected::UpToDate,
        other => other,
    };
    let merged = check(catalog, &report, to, &[expected], false).await;
    land(model, branch, merged, vec![to]);
}

/// Adds the commit of a merge; watermarks are those of the target.
fn land(model: &mut Model, target: &str, merged: Option<Snapshot>, parents: Vec<CommitId>) {
    let Some(snapshot) = merged else {
        return;
    };
    let node = Node {
        state: state_of(&snapshot),
        watermark: model.nodes[&parents[0]].watermark,
        parents,
    };
    model.nodes.insert(snapshot.id(), node);
    model.go(target, snapshot.id());
}

/// Checks a report, and gives the snapshot of the commit that was made.
async fn check(
    catalog: &Catalog,
    report: &MergeReport,
    target: CommitId,
    expected: &[Expected],
    dry_run: bool,
) -> Option<Snapshot> {
    let before = catalog.snapshot(target).await.unwrap();
    let after = match report.commit {
        Some(id) => Some(catalog.snapshot(id).await.unwrap()),
        None => None,
    };
    let done = matches!(
        report.outcome,
        MergeOutcome::FastForward | MergeOutcome::Merged
    );
    assert_eq!((report.target, after.is_some()), (target, done && !dry_run));
    let changed: Vec<_> = report.changes.iter().map(|change| &change.key).collect();
    let right = expected
        .iter()
        .any(|expected| match (report.outcome, expected) {
            (MergeOutcome::AlreadyUpToDate, Expected::UpToDate)
            | (MergeOutcome::FastForward, Expected::FastForward) => true,
            (MergeOutcome::Conflicts, Expected::Conflict(keys)) => report
                .conflicts
                .iter()
                .map(|conflict| &conflict.key)
                .eq(keys),
            (MergeOutcome::Merged, Expected::Merged(state)) => {
                let old = state_of(&before);
                let mut keys: Vec<_> = old.keys().chain(state.keys()).collect();
                keys.sort();
                keys.dedup();
                keys.retain(|key| old.get(key) != state.get(key));
                keys == changed && after.as_ref().is_none_or(|after| &state_of(after) == state)
            }
            _ => false,
        });
    assert!(right, "got {report:?}, expected one of {expected:?}");
    after.filter(|_| report.outcome == MergeOutcome::Merged)
}
