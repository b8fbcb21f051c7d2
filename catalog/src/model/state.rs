//! What every key points to: a checkpoint's lines, and the changes since on top.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::flat::{Flat, FlatBuilder, Line, line_name};
use super::{Content, Key, KeyDiff, Operation};
use crate::{Error, Result};

/// Commit properties with this prefix carry an ingester's log position.
pub(crate) const WATERMARK: &str = "watermark.";

/// Contents and watermarks after some commit.
///
/// Cloning copies pointers to what changed since the checkpoint, whatever the number of keys.
#[derive(Clone, Debug)]
pub(crate) struct State {
    base: Arc<Flat>,
    /// What changed since; none where the key is gone.
    overlay: BTreeMap<Arc<Key>, Option<Arc<Content>>>,
    watermarks: Arc<BTreeMap<String, u64>>,
    len: usize,
}

/// One key of a state, as it is held.
enum Row<'a> {
    Line(Line<'a>),
    Changed(&'a Key, &'a Content),
}

impl State {
    /// The state a checkpoint holds.
    pub(crate) fn new(base: Arc<Flat>) -> Self {
        Self {
            overlay: BTreeMap::new(),
            watermarks: Arc::new(base.watermarks().clone()),
            len: base.len(),
            base,
        }
    }

    /// How many keys changed since the checkpoint.
    pub(crate) fn changed(&self) -> usize {
        self.overlay.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn watermarks(&self) -> &BTreeMap<String, u64> {
        &self.watermarks
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<Content>> {
        match self.overlay.get(key) {
            Some(changed) => Ok(changed.as_deref().cloned()),
            None => self.base.find(key).map(Line::content).transpose(),
        }
    }

    pub(crate) fn contains(&self, key: &Key) -> Result<bool> {
        Ok(match self.overlay.get(key) {
            Some(changed) => changed.is_some(),
            None => self.base.find(key).is_some(),
        })
    }

    /// The state after `operations` and `properties` are applied to this one.
    ///
    /// `InvalidInput` for a bad key, a key named twice, a content that does not belong under its
    /// key or a watermark that is no number; `NotFound` for deleting what is not there.
    pub(crate) fn apply(
        &self,
        operations: &[Operation],
        properties: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut next = self.clone();
        let mut seen = BTreeSet::new();
        for operation in operations {
            let key = operation.key();
            key.validate()?;
            if !seen.insert(key) {
                return Err(Error::invalid(format!("one commit changes {key} twice")));
            }
            next.apply_one(operation)?;
        }
        for (name, value) in properties {
            let Some(ingester) = name.strip_prefix(WATERMARK) else {
                continue;
            };
            let position = value.parse().map_err(|_| {
                Error::invalid(format!("property {name} is {value:?}, not a log position"))
            })?;
            Arc::make_mut(&mut next.watermarks).insert(ingester.to_string(), position);
        }
        Ok(next)
    }

    fn apply_one(&mut self, operation: &Operation) -> Result<()> {
        let key = operation.key();
        let there = self.contains(key)?;
        match operation {
            Operation::Put { content, .. } => {
                check_place(key, content)?;
                let content = Some(Arc::new(content.clone()));
                self.overlay.insert(Arc::new(key.clone()), content);
                self.len += usize::from(!there);
            }
            Operation::Delete { .. } if there => {
                self.overlay.insert(Arc::new(key.clone()), None);
                self.len -= 1;
            }
            Operation::Delete { .. } => {
                return Err(Error::not_found(format!("{key} does not exist")));
            }
        }
        Ok(())
    }

    /// The same state with all changes written into its lines.
    pub(crate) fn flatten(&self) -> Result<Self> {
        let mut builder = FlatBuilder::default();
        for row in self.rows(b"") {
            match row {
                Row::Line(line) => builder.line(line),
                Row::Changed(key, content) => builder.entry(key, content)?,
            }
        }
        let flat = builder.finish(self.watermarks.as_ref().clone());
        Ok(Self::new(Arc::new(flat)))
    }

    /// The lines of the checkpoint below, which hold everything after [`State::flatten`].
    pub(crate) fn base(&self) -> &Flat {
        &self.base
    }

    pub(crate) fn entries(&self) -> Result<Vec<(Key, Content)>> {
        self.rows(b"").map(Row::into_entry).collect()
    }

    pub(crate) fn entries_in(&self, namespace: &str) -> Result<Vec<(Key, Content)>> {
        let start = format!("{namespace}\t").into_bytes();
        let rows = self.rows(&start);
        rows.take_while(|row| row.name().starts_with(&start))
            .map(Row::into_entry)
            .collect()
    }

    pub(crate) fn namespaces(&self) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        for row in self.rows(b"") {
            let name = row.name();
            let namespace = name.split(|b| *b == b'\t').next().unwrap_or_default();
            if found.last().map(String::as_bytes) != Some(namespace) {
                found.push(row.into_key()?.namespace);
            }
        }
        Ok(found)
    }

    /// The keys that `other` has differently. Where both stand on one checkpoint only what
    /// changed since is looked at; else their lines are compared as bytes.
    pub(crate) fn diff(&self, other: &Self) -> Result<Vec<KeyDiff>> {
        let changed = self.overlay.keys().chain(other.overlay.keys());
        let mut keys: BTreeSet<Key> = changed.map(|key| key.as_ref().clone()).collect();
        if !Arc::ptr_eq(&self.base, &other.base) {
            keys.extend(self.base.differing(&other.base)?);
        }
        let mut found = Vec::new();
        for key in keys {
            let (before, after) = (self.get(&key)?, other.get(&key)?);
            if before != after {
                found.push(KeyDiff { key, before, after });
            }
        }
        Ok(found)
    }

    /// All keys from `start` on, in order.
    fn rows<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = Row<'a>> {
        let changed = self.overlay.iter();
        let changed: Vec<_> = changed
            .map(|(key, content)| (line_name(key), key, content))
            .skip_while(|(name, ..)| name.as_slice() < start)
            .collect();
        let mut lines = self.base.lines_from(start).peekable();
        let mut changed = changed.into_iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let name = changed.peek().map(|(name, ..)| name.as_slice());
                let line = lines.next_if(|line| name.is_none_or(|name| line.name() < name));
                if let Some(line) = line {
                    return Some(Row::Line(line));
                }
                let (name, key, content) = changed.next()?;
                lines.next_if(|line| line.name() == name);
                if let Some(content) = content {
                    return Some(Row::Changed(key, content));
                }
            }
        })
    }
}

impl Row<'_> {
    fn name(&self) -> Vec<u8> {
        match self {
            Row::Line(line) => line.name().to_vec(),
            Row::Changed(key, _) => line_name(key),
        }
    }

    fn into_key(self) -> Result<Key> {
        match self {
            Row::Line(line) => line.key(),
            Row::Changed(key, _) => Ok(key.clone()),
        }
    }

    fn into_entry(self) -> Result<(Key, Content)> {
        match self {
            Row::Line(line) => Ok((line.key()?, line.content()?)),
            Row::Changed(key, content) => Ok((key.clone(), content.clone())),
        }
    }
}

/// Namespaces, and nothing else, are under keys without a name.
fn check_place(key: &Key, content: &Content) -> Result<()> {
    if matches!(content, Content::Namespace { .. }) == key.is_namespace() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{key} cannot be a {}: only namespaces have keys without a name",
        content.type_name()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(value: u8) -> Content {
        Content::Model {
            uuid: uuid::Uuid::nil(),
            manifest_location: value.to_string(),
        }
    }

    fn operations(
        changes: &BTreeMap<u8, Option<u8>>,
        map: &BTreeMap<Key, Content>,
    ) -> Vec<Operation> {
        let key =
            |at: u8| Key::new(["a", "a-", "b"][usize::from(at % 3)], format!("k{at}")).unwrap();
        let operation = |(at, value): (&u8, &Option<u8>)| match *value {
            Some(value) => Some(Operation::Put {
                key: key(*at),
                content: content(value),
            }),
            None => map
                .contains_key(&key(*at))
                .then(|| Operation::Delete { key: key(*at) }),
        };
        changes.iter().filter_map(operation).collect()
    }

    proptest! {
        #[test]
        fn changes_on_lines_are_as_in_a_map(
            rounds in prop::collection::vec(
                (prop::collection::btree_map(0..12_u8, prop::option::of(0..3_u8), 0..8), any::<bool>()),
                1..8,
            )
        ) {
            let mut map = BTreeMap::new();
            let mut states = vec![(State::new(Arc::new(Flat::empty())), map.clone())];
            for (changes, flatten) in rounds {
                let operations = operations(&changes, &map);
                let state = &states.last().unwrap().0;
                let mut next = state.apply(&operations, &BTreeMap::new()).unwrap();
                for operation in operations {
                    match operation {
                        Operation::Put { key, content } => map.insert(key, content),
                        Operation::Delete { key } => map.remove(&key),
                    };
                }
                if flatten {
                    next = next.flatten().unwrap();
                }
                states.push((next, map.clone()));
            }
            let (last, last_map) = states.last().unwrap();
            for (state, map) in &states {
                assert_eq!(state.len(), map.len());
                assert!(state.entries().unwrap().into_iter().eq(map.clone()));
                let part = map.clone().into_iter().filter(|(key, _)| key.namespace == "a");
                assert!(state.entries_in("a").unwrap().into_iter().eq(part));
                let names: BTreeSet<_> = map.keys().map(|key| key.namespace.clone()).collect();
                assert!(state.namespaces().unwrap().into_iter().eq(names));
                let keys: BTreeSet<_> = map.keys().chain(last_map.keys()).collect();
                let expected = keys.into_iter().filter(|key| map.get(*key) != last_map.get(*key));
                let diff = state.diff(last).unwrap();
                assert!(diff.iter().map(|diff| &diff.key).eq(expected));
            }
        }
    }
}
