//! One entry of a ref's log: its stored form, its name in the store, and when it was seen.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::CommitId;
use crate::{Error, Result};

const REFS: &str = "_catalog/refs";
const LONGEST_NAME: usize = 255;
/// How many entries share a folder, and how many such folders the one above: a local folder is
/// listed name by name, and so never lists many.
const BUCKET: u64 = 64;
/// After this long a position must be looked up anew: entries after it may have been collected.
/// The collector leaves entries alone for far longer.
const STALE: Duration = Duration::from_secs(300);

/// What a ref is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefKind {
    /// Moves with every commit made on it.
    Branch,
    /// Stays where it is.
    Tag,
}

impl RefKind {
    /// `branch` or `tag`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }
}

/// The stored form of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) format: u32,
    pub(crate) kind: RefKind,
    /// The commit; none when the ref is deleted.
    pub(crate) commit: Option<CommitId>,
    pub(crate) protected: bool,
    /// When the ref was moved; never before the time of the entry before.
    pub(crate) time: DateTime<Utc>,
    pub(crate) author: String,
    /// What moved it, for people; [`COMMITTED`] says that it was commits made on its head.
    pub(crate) action: String,
    /// Tells this writer's entry from an equal one of another writer.
    pub(crate) nonce: Uuid,
}

/// The action of an entry that publishes commits made on the head before.
pub(crate) const COMMITTED: &str = "commit";

/// An entry to write.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) kind: RefKind,
    pub(crate) commit: Option<CommitId>,
    pub(crate) protected: bool,
    /// When, where the entry before is not later.
    pub(crate) time: DateTime<Utc>,
    pub(crate) author: String,
    pub(crate) action: String,
}

/// One entry of a ref, and when it was seen to be the newest.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) entry: Arc<Entry>,
    pub(crate) seen: Seen,
}

impl Position {
    /// The head, where the ref is not deleted.
    pub(crate) fn head(self) -> Option<Head> {
        let commit = self.entry.commit?;
        Some(Head { at: self, commit })
    }
}

/// The newest entry of a living ref.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) at: Position,
    /// The commit it names.
    pub(crate) commit: CommitId,
}

impl Head {
    pub(crate) fn kind(&self) -> RefKind {
        self.at.entry.kind
    }

    /// The same ref at another commit, now; none deletes it.
    pub(crate) fn moved(&self, commit: Option<CommitId>, author: &str, action: String) -> Move {
        Move {
            kind: self.kind(),
            commit,
            protected: self.at.entry.protected && commit.is_some(),
            time: Utc::now(),
            author: author.to_string(),
            action,
        }
    }

    /// Refuses to go on where the ref is protected; `what` cannot be done then.
    pub(crate) fn check_unprotected(&self, name: &str, what: &str) -> Result<()> {
        if !self.at.entry.protected {
            return Ok(());
        }
        Err(
            Error::permission_denied(format!("branch {name:?} is protected: {what} is refused"))
                .with_hint("make the change on another branch and merge that into it"),
        )
    }
}

/// A moment by two clocks: one goes on while the machine sleeps, the other is never set back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    wall: SystemTime,
    steady: Instant,
}

impl Seen {
    pub(crate) fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }

    pub(crate) fn age(self) -> Duration {
        self.wall
            .elapsed()
            .unwrap_or_default()
            .max(self.steady.elapsed())
    }

    pub(crate) fn is_stale(self) -> bool {
        self.age() > STALE
    }

    /// An hour ago, by the clock on the wall.
    #[cfg(test)]
    pub(crate) fn long_ago() -> Self {
        Self {
            wall: SystemTime::now() - Duration::from_secs(3600),
            steady: Instant::now(),
        }
    }
}

/// Checks the name of a branch or tag; `InvalidInput` says what is allowed.
pub(crate) fn validate_name(kind: RefKind, name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let hash = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let path = name.contains("..") || name.contains("//") || name.ends_with('/');
    if first && name.chars().all(rest) && !hash && !path && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let more = if shown.len() < name.len() { "..." } else { "" };
    let kind = kind.name();
    Err(Error::invalid(format!(
        "{kind} name \"{}{more}\" is not allowed",
        shown.escape_debug()
    ))
    .with_hint(format!(
        "letters, digits, _, ., / and -, at most {LONGEST_NAME} of them, the first a \
                 letter, digit or _; no \"..\", no \"//\", no / at the end, not a commit hash"
    )))
}

/// Where all refs are.
pub(crate) fn refs_folder() -> Path {
    Path::from(REFS)
}

/// Where the log of one ref is.
pub(crate) fn ref_folder(name: &str) -> Path {
    // A slash would make a folder of its own; no ref's name holds the sign put instead.
    refs_folder().join(name.replace('/', "="))
}

/// The name of the ref whose log is in this folder.
pub(crate) fn ref_name(folder: &str) -> String {
    folder.replace('=', "/")
}

pub(crate) fn entry_path(name: &str, number: u64) -> Path {
    let inverted = u64::MAX - number;
    ref_folder(name)
        .join(format!("{:016}", inverted / (BUCKET * BUCKET)))
        .join(format!("{:018}", inverted / BUCKET))
        .join(format!("{inverted:020}.json"))
}

pub(crate) fn entry_number(path: &Path) -> Option<u64> {
    let inverted: u64 = path.filename()?.strip_suffix(".json")?.parse().ok()?;
    Some(u64::MAX - inverted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_entries_have_smaller_names() {
        let numbers = [1, 2, 255, 256, 257, 70_000, u64::MAX - 1];
        let paths = numbers.map(|number| entry_path("a/b", number));
        assert!(
            paths.is_sorted_by(|older, newer| older > newer),
            "{paths:?}"
        );
        assert_eq!(
            paths.each_ref().map(|path| entry_number(path).unwrap()),
            numbers
        );
        assert!(paths[0].as_ref().starts_with("_catalog/refs/a=b/"));
        assert_eq!(ref_name("a=b"), "a/b");
    }
}
