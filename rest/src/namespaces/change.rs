//! The changes of namespaces that can be committed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use catalog::{Change, ChangeSet, Content, Key, Operation, Result, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{check_exists, properties};
use crate::error;

/// Creates a namespace that is not there.
pub(super) struct Create {
    pub(super) key: Key,
    pub(super) properties: BTreeMap<String, String>,
}

#[async_trait]
impl Change for Create {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        if check_exists(head, &self.key.namespace).is_ok() {
            let message = format!("Namespace already exists: {}", self.key);
            return Err(error::already_exists(&message));
        }
        Ok(put(self.key.clone(), self.properties.clone()))
    }
}

fn put(key: Key, properties: BTreeMap<String, String>) -> ChangeSet {
    let content = Content::Namespace { properties };
    ChangeSet {
        operations: vec![Operation::Put { key, content }],
        ..ChangeSet::default()
    }
}

/// Drops a namespace that is empty.
pub(super) struct Drop(pub(super) String);

#[async_trait]
impl Change for Drop {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        check_exists(head, &self.0)?;
        let entries = head.entries_in(&self.0)?;
        if let Some((key, _)) = entries.iter().find(|(key, _)| !key.is_namespace()) {
            return Err(error::not_empty(&self.0, key));
        }
        let key = Key::of_namespace(&self.0)?;
        Ok(ChangeSet {
            operations: vec![Operation::Delete { key }],
            ..ChangeSet::default()
        })
    }
}

/// What a client wants of the properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Updates {
    removals: Vec<String>,
    updates: BTreeMap<String, String>,
}

impl Updates {
    /// What the client is told, given the properties before.
    pub(super) fn answer(&self, before: &BTreeMap<String, String>) -> Result<Value> {
        if let Some(name) = self
            .removals
            .iter()
            .find(|it| self.updates.contains_key(*it))
        {
            return Err(error::unprocessable(format!(
                "property {name:?} is to be both set and removed"
            )));
        }
        let (removed, missing): (Vec<_>, Vec<_>) = self
            .removals
            .iter()
            .partition(|name| before.contains_key(*name));
        let updated: Vec<_> = self.updates.keys().collect();
        Ok(json!({"updated": updated, "removed": removed, "missing": missing}))
    }
}

/// Sets and removes properties of a namespace.
pub(super) struct Update {
    pub(super) name: String,
    pub(super) updates: Updates,
}

#[async_trait]
impl Change for Update {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let before = properties(head, &self.name)?;
        let mut after = before.clone();
        after.retain(|name, _| !self.updates.removals.contains(name));
        after.extend(self.updates.updates.clone());
        if after == before {
            return Ok(ChangeSet::default());
        }
        Ok(put(Key::of_namespace(&self.name)?, after))
    }
}
