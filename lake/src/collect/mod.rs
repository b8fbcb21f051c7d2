//! Garbage collection: deleting what no branch, no tag, no ref log and no model reaches any more.
//!
//! One call does both phases: it sweeps what marks at least a grace period ago have condemned,
//! and condemns what it finds unreachable today. [`catalog::collect`] says why that is safe; the
//! one thing asked of others is that no writer takes longer than the grace period between
//! writing its first file and committing it, or between reading a head and building on it.

mod condemn;
mod kind;
mod mark;
mod survey;
mod sweep;

use std::time::Duration;

use catalog::collect::{Missing, PathSet, SquashPolicy};
use catalog::{Content, Result};
use chrono::{DateTime, TimeDelta, Utc};

pub use kind::{Count, Kind, Tally};

use crate::Lake;
use mark::Marker;
use survey::Survey;

/// What to collect.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// How old an object must be to be condemned, and how long it then stays. No writer may take
    /// longer than this.
    pub grace: Duration,
    /// How long what a ref named stays reachable after the ref has moved on or is deleted; at
    /// least the grace period.
    pub reflog: Duration,
    /// Which of ingest's commits give up their tables' files, if any.
    pub squash: Option<SquashPolicy>,
    /// Only report.
    pub dry_run: bool,
}

/// What was collected, or in a dry run would have been.
#[derive(Clone, Debug, Default)]
pub struct CollectReport {
    /// What is deleted.
    pub deleted: Tally,
    /// What is condemned from now on: later runs delete it.
    pub condemned: Tally,
    /// What earlier runs have condemned and whose grace period is not over.
    pub waiting: Tally,
    /// When all that is condemned now or earlier may be deleted.
    pub due: Option<DateTime<Utc>>,
    /// What nothing reaches, but is too young to be condemned: it may be part of a write that
    /// goes on.
    pub young: Tally,
    /// Objects that are not Pumphouse's, and are left alone.
    pub foreign: Count,
    /// Commits that are reachable.
    pub commits: u64,
    /// Commits among them that are squashed.
    pub squashed: u64,
    /// Empty folders removed; local folders only.
    pub folders: u64,
}

/// How far a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectProgress {
    /// Reading the history and the metadata it names; objects reached so far.
    Reaching(u64),
    /// Listing the store; objects so far.
    Listing(u64),
    /// Deleting; objects so far.
    Deleting(u64),
}

/// Is told how far a collection is.
pub type OnProgress<'a> = &'a (dyn Fn(CollectProgress) + Send + Sync);

impl Lake {
    /// Collects garbage: sweeps what earlier calls have condemned, and condemns anew.
    ///
    /// Several processes may do this at once, and a call that was killed is resumed by the next.
    ///
    /// # Errors
    /// `Corrupt` when a reachable commit or metadata file is missing: then nothing is deleted.
    pub async fn collect(
        &self,
        options: &CollectOptions,
        progress: OnProgress<'_>,
    ) -> Result<CollectReport> {
        let survey = Survey::begin(self, *options, progress).await?;
        survey.run().await
    }

    /// All files of this store that reading the table, view or model `content` may need.
    ///
    /// # Errors
    /// `Corrupt` when a metadata file among them is missing or holds something else.
    pub async fn files_of(&self, content: Content) -> Result<PathSet> {
        let marker = Marker::new(self.store().clone());
        marker.mark(vec![content], Missing::Refuse).await?;
        let files = marker.reached().clone();
        Ok(files)
    }
}

/// A standard duration as chrono counts; one too long for it is as long as can be.
fn delta(duration: Duration) -> TimeDelta {
    // Longer than any lakehouse is old, and no date overflows when it is taken away.
    let longest = TimeDelta::days(365 * 1000);
    TimeDelta::from_std(duration)
        .unwrap_or(longest)
        .min(longest)
}
