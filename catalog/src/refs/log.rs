//! The past of a ref: its entries, and where it was at a time.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};

use super::{Position, READS, RefKind, Refs};
use crate::Result;
use crate::model::CommitId;

/// One move of a ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefLogEntry {
    /// The entry's number, from 1.
    pub number: u64,
    /// When; never before the time of the entry before.
    pub time: DateTime<Utc>,
    /// What the ref was.
    pub kind: RefKind,
    /// Where it went; none when it was deleted.
    pub commit: Option<CommitId>,
    /// Whether it was protected from then on.
    pub protected: bool,
    /// Who moved it.
    pub author: String,
    /// What moved it, such as `commit`, `merge dev`, `reset to main~3` or `delete`.
    pub action: String,
}

/// Where a ref was at a time.
#[derive(Debug)]
pub(crate) enum Then {
    /// The entry in force, and the one that superseded it.
    At(Position, Option<Position>),
    /// The oldest entry kept is later. Its number is 1 unless older ones were collected.
    Before(Position),
}

impl Refs {
    /// At most `limit` entries of the log that ends with `newest`, the newest first.
    pub(crate) async fn log(
        &self,
        name: &str,
        newest: Position,
        limit: usize,
    ) -> Result<Vec<RefLogEntry>> {
        futures::stream::iter((1..=newest.number).rev().take(limit))
            .map(|number| self.read_position(name, number))
            .buffered(READS)
            // Entries before one that was collected are collected too.
            .try_take_while(|position| std::future::ready(Ok(position.is_some())))
            .try_filter_map(|position| std::future::ready(Ok(position.map(RefLogEntry::from))))
            .try_collect()
            .await
    }

    /// Where the ref was at `time`: O(log n) reads, as entry times never run backwards.
    pub(crate) async fn then(
        &self,
        name: &str,
        newest: Position,
        time: DateTime<Utc>,
    ) -> Result<Then> {
        if newest.entry.time <= time {
            return Ok(Then::At(newest, None));
        }
        let (mut low, mut found) = (0, None);
        let mut later = newest;
        while later.number - low > 1 {
            let middle = low + (later.number - low) / 2;
            match self.read_position(name, middle).await? {
                Some(position) if position.entry.time > time => later = position,
                // What is missing was collected: it is older than all that is there.
                position => (low, found) = (middle, position),
            }
        }
        Ok(match found {
            Some(found) => Then::At(found, Some(later)),
            None => Then::Before(later),
        })
    }
}

impl From<Position> for RefLogEntry {
    fn from(position: Position) -> Self {
        let entry = position.entry;
        Self {
            number: position.number,
            time: entry.time,
            kind: entry.kind,
            commit: entry.commit,
            protected: entry.protected,
            author: entry.author.clone(),
            action: entry.action.clone(),
        }
    }
}
