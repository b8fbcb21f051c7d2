//! Merging what two sides changed of one key: the lake's part of the catalog's merges,
//! cherry-picks and reverts, and of commits that another commit overtook.
//!
//! Tables merge by their files (see [`files`]) and by their columns, partitioning and
//! properties (see [`shape`] and [`schema`]); what theirs added comes in as one new
//! snapshot and no data file is rewritten. A table that both sides created under one identity
//! began empty (see [`origin`]). Namespaces merge by property. Anything else that both sides
//! changed is a conflict.

mod clash;
mod files;
mod keys;
mod lineage;
mod nested;
mod origin;
mod past;
mod schema;
mod shape;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{BothChanged, Content, ContentMerge, Error, Merged, Result};
use iceberg::spec::TableMetadata;

use self::lineage::Lineage;
use crate::metadata::TableFiles;

/// The states of one table that meet in a merge.
#[derive(Clone, Copy)]
struct Sides<'a> {
    /// What both sides come from; in a revert the commit to undo.
    base: &'a TableMetadata,
    /// Where the result goes.
    ours: &'a TableMetadata,
    /// What is brought in.
    theirs: &'a TableMetadata,
}

impl<'a> Sides<'a> {
    /// One part of base, ours and theirs.
    fn each<T>(&self, part: impl Fn(&'a TableMetadata) -> T) -> [T; 3] {
        [self.base, self.ours, self.theirs].map(part)
    }
}

/// The three-way merge of tables and of what else a lake holds.
pub struct TableMerge {
    files: Arc<TableFiles>,
    /// Whether the new snapshots say where their files come from; a commit that is only
    /// moved to a newer head is no merge.
    lineage: bool,
}

impl TableMerge {
    /// For merges, cherry-picks and reverts.
    pub(crate) fn new(files: Arc<TableFiles>) -> Self {
        let lineage = true;
        Self { files, lineage }
    }

    /// For commits that another commit has overtaken.
    pub(crate) fn rebasing(files: Arc<TableFiles>) -> Self {
        let lineage = false;
        Self { files, lineage }
    }

    async fn tables(
        &self,
        changed: &BothChanged<'_>,
        base: Option<&str>,
        at: [&str; 2],
    ) -> Result<Merged> {
        let merge = table::Merge {
            files: Arc::clone(&self.files),
            base: base.map(str::to_owned),
            locations: at.map(str::to_owned),
            rule: changed.rule,
            lineage: self.lineage.then(|| Lineage {
                source: changed.source.to_owned(),
                commit: changed.source_commit,
            }),
            dry_run: changed.dry_run,
        };
        // A task of its own: decoding and encoding metadata is most of the work, and a
        // merge of branches may have a thousand tables to do.
        let task = tokio::spawn(async move { merge.run().await });
        task.await
            .map_err(|e| Error::internal("merging a table was interrupted").with_source(e))?
    }
}

#[async_trait]
impl ContentMerge for TableMerge {
    async fn merge(&self, changed: &BothChanged<'_>) -> Result<Merged> {
        let (base, ours, theirs) = (changed.base, changed.ours, changed.theirs);
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && let Some(locations) = one_table(ours, theirs)
            && base.is_none_or(|base| base.uuid() == ours.uuid())
        {
            let base = base.and_then(keys::table);
            return self.tables(changed, base, locations).await;
        }
        if let (Some(ours), Some(theirs)) = (properties(ours), properties(theirs)) {
            let nothing = BTreeMap::new();
            let base = properties(base).unwrap_or(&nothing);
            return Ok(keys::namespaces(base, ours, theirs));
        }
        keys::conflict(&self.files, changed).await
    }
}

/// Where the metadata of each is, when both are states of one Iceberg table.
fn one_table<'a>(ours: &'a Content, theirs: &'a Content) -> Option<[&'a str; 2]> {
    if ours.uuid() != theirs.uuid() {
        return None;
    }
    Some([keys::table(ours)?, keys::table(theirs)?])
}

fn properties(content: Option<&Content>) -> Option<&BTreeMap<String, String>> {
    match content {
        Some(Content::Namespace { properties }) => Some(properties),
        _ => None,
    }
}
