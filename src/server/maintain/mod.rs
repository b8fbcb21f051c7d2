//! The role `maintain`: every so often each table of ingest's branch is compacted, rid of
//! rows past their age and of old snapshots, one table after another; garbage collection
//! follows on its own schedule.
//!
//! Ingest has precedence: while half of its buffer or of its log is taken, a group of files
//! is begun only every half minute, so that a table that has to take much does not fill up
//! with small files for ever. What costs little goes on meanwhile. Pauses are random by a fifth, and grow while another node is first, so that
//! several nodes on one lake share the work instead of doing it twice.

mod counters;

use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{Content, ErrorKind, Key, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use ingest::IngestStats;
use lake::Lake;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

pub(super) use self::counters::Counters;
use super::status::IngestPart;
use crate::commands::gc;
use crate::settings::Settings;

/// The author of the commits made in the background.
const AUTHOR: &str = "maintain";
/// How long to wait before looking at a busy ingester again.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How long a group of files waits for it at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A collection comes so much earlier after a start than after another collection.
const FIRST_COLLECTION: u32 = 24;
/// Pauses grow up to so many times the interval.
const LONGEST_PAUSE: u32 = 8;

/// Maintains the lake until `stop`. What fails is logged and counted, and tried again in
/// the next round: maintenance never ends a process.
pub(super) async fn run(
    lake: Lake,
    settings: Settings,
    ingest: IngestPart,
    counters: Arc<Counters>,
    stop: CancellationToken,
) -> Result<()> {
    let work = Work {
        lake,
        settings,
        ingest,
        counters,
    };
    tokio::select! {
        () = work.rounds() => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

struct Work {
    lake: Lake,
    settings: Settings,
    ingest: IngestPart,
    counters: Arc<Counters>,
}

impl Work {
    async fn rounds(&self) {
        let maintain = &self.settings.maintain;
        let mut collect_after = maintain.gc_interval / FIRST_COLLECTION;
        let mut collected = Instant::now();
        let mut pause = 1;
        loop {
            let pace = rand::random_range(0.8..1.2);
            tokio::time::sleep((maintain.interval * pause).mul_f64(pace)).await;
            let started = Instant::now();
            let tables = self.tables().await;
            // What costs little comes first: compaction may have to wait for ingest.
            let mut overtaken = self.each(&tables, Job::Tidy).await;
            if !maintain.gc_interval.is_zero() && collected.elapsed() >= collect_after {
                self.collect().await;
                collected = Instant::now();
                collect_after = maintain.gc_interval.mul_f64(rand::random_range(0.8..1.2));
            }
            overtaken |= self.each(&tables, Job::Compact).await;
            self.counters.round(started.elapsed());
            pause = match overtaken {
                true => (pause * 2).min(LONGEST_PAUSE),
                false => 1,
            };
        }
    }

    /// One job of each table; whether others were first at one of them.
    async fn each(&self, tables: &[Key], job: Job) -> bool {
        let mut overtaken = false;
        for key in tables {
            let done = match job {
                Job::Tidy => self.tidy(key).await,
                Job::Compact => self.compact(key).await,
            };
            match done {
                Ok(first) => overtaken |= !first,
                // Dropped meanwhile, or of a kind that only its own engine writes.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => {
                    tracing::debug!(table = %key, error = %e, "a table is not maintained");
                }
                Err(e) if e.kind() == ErrorKind::Conflict => overtaken = true,
                Err(error) => {
                    self.counters.fail(&error);
                    tracing::warn!(table = %key, %error, "a table could not be maintained");
                }
            }
        }
        overtaken
    }

    /// The tables of the branch; none when they cannot be listed.
    async fn tables(&self) -> Vec<Key> {
        let mut tables = self.listed().await.unwrap_or_else(|error| {
            self.counters.fail(&error);
            tracing::warn!(%error, "cannot list the tables to maintain");
            Vec::new()
        });
        // In another order on every node, they seldom meet at a table.
        tables.shuffle(&mut rand::rng());
        tables
    }

    async fn listed(&self) -> Result<Vec<Key>> {
        let head = self
            .lake
            .catalog()
            .head(&self.settings.ingest.branch)
            .await?;
        let entries = head.entries()?.into_iter();
        let tables = entries.filter(|(_, it)| matches!(it, Content::IcebergTable { .. }));
        Ok(tables.map(|(key, _)| key).collect())
    }

    /// Removes old rows and old snapshots; always true.
    async fn tidy(&self, key: &Key) -> Result<bool> {
        let (lake, branch) = (&self.lake, self.settings.ingest.branch.as_str());
        let removed = lake.retain(branch, key, None, false, AUTHOR).await;
        // A table whose rows cannot be removed has old snapshots all the same.
        let expire = self.settings.maintain.expire();
        let expired = lake.expire(branch, key, expire, AUTHOR).await?;
        self.counters.expired(expired.snapshots);
        self.counters.retained(&removed?);
        Ok(true)
    }

    /// Compacts one table; false when others changed its files first.
    async fn compact(&self, key: &Key) -> Result<bool> {
        let (lake, branch) = (&self.lake, self.settings.ingest.branch.as_str());
        let go_on = || self.ingest_has_room();
        let compact = self.settings.maintain.compact();
        let compacted = lake.compact(branch, key, &compact, AUTHOR, &go_on).await?;
        self.counters.compacted(&compacted);
        if compacted.commits > 0 {
            tracing::info!(
                table = %key, commits = compacted.commits,
                files = compacted.files_removed, into = compacted.files_added,
                "compacted"
            );
        }
        Ok(compacted.conflicts == 0)
    }

    /// Waits until ingest has room, or long enough; always true.
    fn ingest_has_room(&self) -> BoxFuture<'_, bool> {
        async {
            let room = async {
                while self
                    .ingest
                    .stats()
                    .await
                    .is_some_and(|stats| is_busy(&stats))
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
            };
            wait_for(room, LONGEST_WAIT).await;
            true
        }
        .boxed()
    }

    async fn collect(&self) {
        let options = match gc::background(&self.settings) {
            Ok(options) => options,
            Err(error) => {
                self.counters.fail(&error);
                tracing::warn!(%error, "garbage is not collected");
                return;
            }
        };
        match self.lake.collect(&options, &|_| {}).await {
            Ok(report) => {
                let deleted = report.deleted.total();
                self.counters.collected(deleted);
                tracing::info!(
                    objects = deleted.objects,
                    bytes = deleted.bytes,
                    noted = report.condemned.total().objects,
                    "collected garbage"
                );
            }
            Err(error) => {
                self.counters.fail(&error);
                tracing::warn!(%error, "garbage could not be collected");
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Job {
    Tidy,
    Compact,
}

async fn wait_for(room: impl Future<Output = ()>, most: Duration) {
    if tokio::time::timeout(most, room).await.is_err() {
        tracing::debug!("ingest is busy for long: files are compacted all the same");
    }
}

/// Whether half of what ingest may hold in memory or in its log is taken.
fn is_busy(stats: &IngestStats) -> bool {
    stats.buffer_bytes > stats.buffer_limit_bytes / 2
        || stats.log_uncommitted_bytes > stats.log_limit_bytes / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wait_for_a_busy_ingester_ends() {
        wait_for(std::future::pending(), Duration::from_millis(1)).await;
    }

    #[test]
    fn maintenance_waits_for_an_ingester_that_fills_up() {
        let stats = |buffer_bytes, log_uncommitted_bytes| IngestStats {
            buffer_bytes,
            buffer_limit_bytes: 100,
            log_uncommitted_bytes,
            log_limit_bytes: 1_000,
            ..IngestStats::default()
        };
        assert!(!is_busy(&stats(50, 500)));
        assert!(is_busy(&stats(51, 0)));
        assert!(is_busy(&stats(0, 501)));
    }
}
