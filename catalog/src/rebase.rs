//! Operations made on one commit and committed on a later one.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::committer::{Change, ChangeSet};
use crate::model::{Operation, Snapshot};
use crate::{Error, Result};

/// Operations that were made on `base`: they stand as long as none of their keys has changed.
pub(crate) struct Rebase {
    pub(crate) base: Snapshot,
    pub(crate) operations: Vec<Operation>,
}

#[async_trait]
impl Change for Rebase {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let mut changed = Vec::new();
        for key in self.operations.iter().map(Operation::key) {
            if self.base.get(key)? != head.get(key)? {
                changed.push(key.to_string());
            }
        }
        if !changed.is_empty() {
            return Err(Error::conflict(format!(
                "{} changed since commit {}",
                changed.join(", "),
                self.base.id().short()
            ))
            .with_hint("read the newest state and make the change again"));
        }
        Ok(ChangeSet {
            operations: self.operations.clone(),
            properties: BTreeMap::new(),
        })
    }
}
