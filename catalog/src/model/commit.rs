//! Commits: immutable, named by the SHA-256 of their canonical JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Operation;
use crate::{Error, Result};

/// The version of the catalog's stored JSON that this program writes.
pub(crate) const FORMAT: u32 = 2;

/// Refuses stored JSON of another format version than [`FORMAT`].
pub(crate) fn check_format(what: &str, bytes: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Probe {
        format: u32,
    }
    let probe: Probe = serde_json::from_slice(bytes)
        .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))?;
    if probe.format == FORMAT {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "{what} has format {}, this program reads format {FORMAT}",
        probe.format
    ))
    .with_hint("the lakehouse was written by another version of pumphouse: use that version"))
}

/// The name of a commit: SHA-256 of its canonical JSON; as text 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CommitId([u8; 32]);

impl CommitId {
    /// The id of a commit whose canonical JSON is `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 hex digits, for people; `branch@<short>` resolves.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_string()
    }

    fn unset() -> Self {
        Self([0; 32])
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({self})")
    }
}

impl FromStr for CommitId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid(format!("{text:?} is not a commit hash"))
                .with_hint("a commit hash is 64 hex digits; `pumphouse log` lists them")
        };
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut id = [0; 32];
        for (i, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self(id))
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for CommitId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// A pointer from a commit far back along the first parents; see the history module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The ancestor.
    pub commit: CommitId,
    /// Its depth.
    pub depth: u64,
}

/// One commit. What is stored (and hashed) is the JSON of everything but the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The SHA-256 of the rest.
    #[serde(skip, default = "CommitId::unset")]
    pub id: CommitId,
    /// Version of the stored form.
    pub(crate) format: u32,
    /// The commit this one was made on; absent in the root commit only.
    pub parent: Option<CommitId>,
    /// The head of the merged branch, in a merge commit.
    pub merge_parent: Option<CommitId>,
    /// One more than the largest generation of the parents; 0 for the root.
    pub generation: u64,
    /// The number of first parents back to the root.
    pub depth: u64,
    /// A far ancestor along the first parents, so that history is searched in few steps.
    pub skip: Option<Skip>,
    /// The nearest first-parent ancestor that is a merge commit.
    pub last_merge: Option<CommitId>,
    /// SHA-256 (hex) of the checkpoint that holds the state after this commit, where one was
    /// written.
    pub checkpoint: Option<String>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// When, to the microsecond; never before the parent's time.
    #[serde(serialize_with = "microseconds")]
    pub time: DateTime<Utc>,
    /// What it changed, at most one operation a key.
    pub operations: Vec<Operation>,
    /// Facts about the commit by name; `watermark.<ingester>` holds a log position.
    pub properties: BTreeMap<String, String>,
}

fn microseconds<S: serde::Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

impl Commit {
    /// Sets the id and returns the canonical JSON it names.
    pub(crate) fn seal(&mut self) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::internal("cannot write a commit as JSON").with_source(e))?;
        self.id = CommitId::of(&bytes);
        Ok(bytes)
    }

    /// The commit `id` from its stored bytes; `Corrupt` when the bytes do not have that hash.
    pub(crate) fn open(id: CommitId, bytes: &[u8]) -> Result<Self> {
        if CommitId::of(bytes) != id {
            return Err(Error::corrupt(format!(
                "commit {id} does not have the content its name promises"
            )));
        }
        check_format(&format!("commit {id}"), bytes)?;
        let mut commit: Self = serde_json::from_slice(bytes)
            .map_err(|e| Error::corrupt(format!("commit {id} is not readable")).with_source(e))?;
        commit.id = id;
        Ok(commit)
    }
}

/// What the author says about a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitMeta {
    /// Who makes it.
    pub author: String,
    /// Why.
    pub message: String,
    /// Facts about the commit by name; see [`Commit::properties`].
    pub properties: BTreeMap<String, String>,
    /// Whether the lakehouse itself makes it, such as ingest or maintenance: then it may go to a
    /// protected branch.
    pub automatic: bool,
}

impl CommitMeta {
    /// Author and message, no properties, made by somebody.
    pub fn new(author: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            author: author.into(),
            message: message.into(),
            properties: BTreeMap::new(),
            automatic: false,
        }
    }

    /// The same with one more property.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// The same, made by the lakehouse itself.
    #[must_use]
    pub fn automatic(mut self) -> Self {
        self.automatic = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commits::root;

    #[test]
    fn a_commit_reads_back_equal_and_a_changed_byte_is_found() {
        let mut commit = root().unwrap().snapshot.commit().clone();
        commit.message = "schön".into();
        let bytes = commit.seal().unwrap();
        assert_eq!(Commit::open(commit.id, &bytes).unwrap(), commit);
        let mut changed = bytes.clone();
        changed[20] ^= 1;
        let error = Commit::open(commit.id, &changed).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }

    #[test]
    fn another_format_is_refused_with_a_way_out() {
        let bytes = br#"{"format":99}"#;
        let error = Commit::open(CommitId::of(bytes), bytes).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert!(error.hint().is_some());
    }

    #[test]
    fn ids_read_back_from_text() {
        let id = CommitId::of(b"x");
        assert_eq!(id.to_string().parse::<CommitId>().unwrap(), id);
        assert!("xyz".parse::<CommitId>().is_err());
        assert!("é".repeat(32).parse::<CommitId>().is_err());
    }
}
