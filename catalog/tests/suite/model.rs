//! What the catalog should do, written as plainly as possible: every commit keeps its whole
//! state, and ancestors are found by walking.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use catalog::{CommitId, Content, Key, Operation, Snapshot};

pub(crate) type State = BTreeMap<Key, Content>;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parents: Vec<CommitId>,
    pub(crate) state: State,
    pub(crate) watermark: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) nodes: HashMap<CommitId, Node>,
    pub(crate) branches: BTreeMap<String, CommitId>,
}

/// What a merge should come to.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    UpToDate,
    FastForward,
    Merged(State),
    Conflict(Vec<Key>),
}

pub(crate) fn state_of(snapshot: &Snapshot) -> State {
    snapshot.entries().unwrap().into_iter().collect()
}

impl Model {
    pub(crate) fn add(
        &mut self,
        branch: &str,
        snapshot: &Snapshot,
        operations: &[Operation],
        mark: Option<u64>,
    ) {
        let parent = self.branches[branch];
        let node = &self.nodes[&parent];
        let (mut state, watermark) = (node.state.clone(), mark.or(node.watermark));
        for operation in operations {
            match operation {
                Operation::Put { key, content } => state.insert(key.clone(), content.clone()),
                Operation::Delete { key } => state.remove(key),
            };
        }
        let parents = vec![parent];
        self.insert(
            branch,
            snapshot.id(),
            Node {
                parents,
                state,
                watermark,
            },
        );
    }

    pub(crate) fn insert(&mut self, branch: &str, id: CommitId, node: Node) {
        self.nodes.insert(id, node);
        self.branches.insert(branch.to_string(), id);
    }

    pub(crate) fn state(&self, id: CommitId) -> &State {
        &self.nodes[&id].state
    }

    /// The first parents from `id` to the root, newest first.
    pub(crate) fn line(&self, id: CommitId) -> Vec<CommitId> {
        std::iter::successors(Some(id), |id| self.nodes[id].parents.first().copied()).collect()
    }

    fn ancestors(&self, id: CommitId) -> BTreeSet<CommitId> {
        let mut found = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(&self.nodes[&id].parents);
            }
        }
        found
    }

    /// Every outcome that is right: there may be several best merge bases.
    pub(crate) fn merge(&self, source: CommitId, target: CommitId) -> Vec<Expected> {
        let (a, b) = (self.ancestors(source), self.ancestors(target));
        if b.contains(&source) {
            return vec![Expected::UpToDate];
        }
        if a.contains(&target) {
            return vec![Expected::FastForward];
        }
        let common: BTreeSet<_> = a.intersection(&b).copied().collect();
        let best = common.iter().filter(|id| {
            let newer = |other: &&CommitId| other != id && self.ancestors(**other).contains(id);
            !common.iter().any(|other| newer(&other))
        });
        best.map(|base| self.three_way(*base, source, target))
            .collect()
    }

    fn three_way(&self, base: CommitId, source: CommitId, target: CommitId) -> Expected {
        let (base, source, target) = (self.state(base), self.state(source), self.state(target));
        let keys: BTreeSet<_> = [base, source, target]
            .iter()
            .flat_map(|s| s.keys())
            .collect();
        let mut merged = target.clone();
        let mut conflicts = Vec::new();
        for key in keys {
            let (b, s, t) = (base.get(key), source.get(key), target.get(key));
            match (s == b, t == b, s == t) {
                (true, _, _) | (_, _, true) => {}
                (false, true, _) => {
                    merged.remove(key);
                    merged.extend(s.map(|content| (key.clone(), content.clone())));
                }
                (false, false, false) => conflicts.push(key.clone()),
            }
        }
        match conflicts.is_empty() {
            true => Expected::Merged(merged),
            false => Expected::Conflict(conflicts),
        }
    }
}
