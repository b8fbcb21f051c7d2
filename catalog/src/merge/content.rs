//! How two changes of one key are merged: the part that only who knows the contents can do.

use async_trait::async_trait;

use crate::Result;
use crate::model::{CommitId, Content, Key};

/// Merges what two sides made of one key.
#[async_trait]
pub trait ContentMerge: Send + Sync {
    /// Called for a key that both sides changed, each in its own way. May write new immutable
    /// objects; is called again when the target moved meanwhile.
    async fn merge(&self, conflict: &BothChanged<'_>) -> Result<Merged>;
}

/// A key that differs from the base on both sides, and between them.
#[derive(Clone, Debug)]
pub struct BothChanged<'a> {
    /// The key.
    pub key: &'a Key,
    /// What it pointed to where both sides parted.
    pub base: Option<&'a Content>,
    /// What it points to on the target.
    pub ours: Option<&'a Content>,
    /// What it points to on the source.
    pub theirs: Option<&'a Content>,
    /// How strict to be.
    pub rule: MergeRule,
    /// Whether only the answer is wanted: then nothing may be written.
    pub dry_run: bool,
    /// The source as the user named it.
    pub source: &'a str,
    /// The commit that the source named.
    pub source_commit: CommitId,
}

/// How strictly two changes of one key are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeRule {
    /// Two lines of work that did not know each other: at least one may only have appended.
    Branches,
    /// A change made again on a newer state: what it removes must still be there.
    Rebase,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Both changes in one content.
    Content {
        /// What the key points to from now on; in a dry run anything that is not what it
        /// points to on the target, unless nothing would change.
        content: Content,
        /// How, in a few words for people.
        how: String,
    },
    /// The changes exclude each other.
    Conflict {
        /// What the target did, in the past tense: `changed`, `dropped column a`.
        ours: String,
        /// What the source did.
        theirs: String,
    },
}

/// Merges by key only: whatever both sides changed is a conflict.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysOnly;

#[async_trait]
impl ContentMerge for KeysOnly {
    async fn merge(&self, conflict: &BothChanged<'_>) -> Result<Merged> {
        let what = |now: Option<&Content>| match (conflict.base, now) {
            (_, None) => "deleted",
            (None, Some(_)) => "created",
            (Some(_), Some(_)) => "changed",
        };
        Ok(Merged::Conflict {
            ours: what(conflict.ours).to_string(),
            theirs: what(conflict.theirs).to_string(),
        })
    }
}
