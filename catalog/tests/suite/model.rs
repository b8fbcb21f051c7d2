//! What the catalog should do, written as plainly as possible: every commit keeps its whole
//! state, and ancestors are found by walking.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use catalog::{CommitId, Content, ErrorKind, Key, Operation, RefKind, Side, Snapshot};

pub(crate) type State = BTreeMap<Key, Content>;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parents: Vec<CommitId>,
    pub(crate) state: State,
    pub(crate) watermark: Option<u64>,
}

/// A living branch or tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ref {
    pub(crate) kind: RefKind,
    pub(crate) commit: CommitId,
    pub(crate) protected: bool,
}

pub(crate) struct Model {
    pub(crate) nodes: HashMap<CommitId, Node>,
    pub(crate) refs: BTreeMap<String, Ref>,
    /// Where each name ever went, the oldest first; none where it was deleted.
    pub(crate) moves: BTreeMap<String, Vec<Option<CommitId>>>,
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

pub(crate) fn apply(state: &mut State, operations: &[Operation]) {
    for operation in operations {
        match operation {
            Operation::Put { key, content } => state.insert(key.clone(), content.clone()),
            Operation::Delete { key } => state.remove(key),
        };
    }
}

impl Model {
    pub(crate) fn new(root: CommitId) -> Self {
        let node = Node {
            parents: vec![],
            state: State::new(),
            watermark: None,
        };
        let mut model = Self {
            nodes: HashMap::from([(root, node)]),
            refs: BTreeMap::new(),
            moves: BTreeMap::new(),
        };
        model.create("main", RefKind::Branch, root);
        model
    }

    pub(crate) fn create(&mut self, name: &str, kind: RefKind, commit: CommitId) {
        let protected = false;
        self.set(
            name,
            Some(Ref {
                kind,
                commit,
                protected,
            }),
        );
    }

    /// Lets the ref be this from now on, or deletes it.
    pub(crate) fn set(&mut self, name: &str, to: Option<Ref>) {
        let moves = self.moves.entry(name.to_string()).or_default();
        moves.push(to.map(|to| to.commit));
        match to {
            Some(to) => self.refs.insert(name.to_string(), to),
            None => self.refs.remove(name),
        };
    }

    /// Moves a branch.
    pub(crate) fn go(&mut self, branch: &str, commit: CommitId) {
        let to = Ref {
            commit,
            ..self.refs[branch]
        };
        self.set(branch, Some(to));
    }

    /// The ref, where there is one of this kind; else the error there should be.
    pub(crate) fn find(&self, name: &str, kind: RefKind) -> Result<Ref, ErrorKind> {
        match self.refs.get(name) {
            None => Err(ErrorKind::NotFound),
            Some(found) if found.kind != kind => Err(ErrorKind::InvalidInput),
            Some(found) => Ok(*found),
        }
    }

    /// The branch, where it is there and not protected.
    pub(crate) fn open(&self, name: &str) -> Result<Ref, ErrorKind> {
        match self.find(name, RefKind::Branch)? {
            found if found.protected => Err(ErrorKind::PermissionDenied),
            found => Ok(found),
        }
    }

    /// The commit that `name~back` means.
    pub(crate) fn back(&self, name: &str, back: usize) -> Result<CommitId, ErrorKind> {
        let head = self.refs.get(name).ok_or(ErrorKind::NotFound)?;
        let line = self.line(head.commit);
        line.get(back).copied().ok_or(ErrorKind::NotFound)
    }

    pub(crate) fn add(
        &mut self,
        branch: &str,
        snapshot: &Snapshot,
        operations: &[Operation],
        mark: Option<u64>,
    ) {
        let parent = self.refs[branch].commit;
        let mut node = self.nodes[&parent].clone();
        apply(&mut node.state, operations);
        node.watermark = mark.or(node.watermark);
        node.parents = vec![parent];
        self.nodes.insert(snapshot.id(), node);
        self.go(branch, snapshot.id());
    }

    pub(crate) fn state(&self, id: CommitId) -> &State {
        &self.nodes[&id].state
    }

    /// The first parents from `id` to the root, newest first.
    pub(crate) fn line(&self, id: CommitId) -> Vec<CommitId> {
        std::iter::successors(Some(id), |id| self.nodes[id].parents.first().copied()).collect()
    }

    pub(crate) fn ancestors(&self, id: CommitId) -> BTreeSet<CommitId> {
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
    pub(crate) fn merge(
        &self,
        source: CommitId,
        target: CommitId,
        resolve: Option<Side>,
    ) -> Vec<Expected> {
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
        best.map(|base| self.three_way(*base, source, target, resolve))
            .collect()
    }

    /// The changes from `base` to `source` made on `target`.
    pub(crate) fn three_way(
        &self,
        base: CommitId,
        source: CommitId,
        target: CommitId,
        resolve: Option<Side>,
    ) -> Expected {
        let (base, source, target) = (self.state(base), self.state(source), self.state(target));
        let keys: BTreeSet<_> = [base, source, target]
            .iter()
            .flat_map(|s| s.keys())
            .collect();
        let mut merged = target.clone();
        let mut conflicts = Vec::new();
        for key in keys {
            let (b, s, t) = (base.get(key), source.get(key), target.get(key));
            if s == b || s == t {
                continue;
            }
            match (t == b, resolve) {
                (true, _) | (false, Some(Side::Theirs)) => {
                    merged.remove(key);
                    merged.extend(s.map(|content| (key.clone(), content.clone())));
                }
                (false, Some(Side::Ours)) => {}
                (false, None) => conflicts.push(key.clone()),
            }
        }
        match conflicts.is_empty() {
            true => Expected::Merged(merged),
            false => Expected::Conflict(conflicts),
        }
    }
}
