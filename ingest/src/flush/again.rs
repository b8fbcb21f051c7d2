//! What a flush does when a table has become another than its rows were decoded for.
//!
//! Anybody may alter, drop or rename a table that streams fill. The rows to be flushed are then
//! decoded again, from the log, against the tables as they are: what a table cannot take becomes
//! a dead letter as if it had come that way. A table that still fails is given up for this flush:
//! its messages become dead letters and the other streams go on. What a log position holds is
//! so decided as a whole each time, and the commit that moves the watermark is the same one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use catalog::{Change, Error, ErrorKind, Key, Result};
use lake::Append;
use uuid::Uuid;

use super::Flusher;
use crate::buffer::Sealed;
use crate::decoding::{Decoding, GROUP};
use crate::stats::Counters;
use crate::tables::is_lasting;

/// Failures of one table in one flush until its messages become dead letters. The first may be
/// for want of decoding again, the second for a change during that.
const MOST_FAILURES: usize = 3;
/// Times a flush decodes again without a pause.
const MOST_AT_ONCE: usize = 10;

/// Tells the decoder that tables have changed.
#[derive(Clone, Default)]
pub(crate) struct Changed(Arc<AtomicBool>);

impl Changed {
    fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was told since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// A failed attempt to commit.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The table whose files could not be written.
    pub(super) table: Option<Key>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, table: None }
    }
}

/// One flush over its attempts.
pub(super) struct Flush {
    pub(super) sealed: Sealed,
    /// The name of its commit.
    pub(super) name: String,
    /// The files of the first tables of `sealed`.
    pub(super) written: Vec<Append>,
    failures: BTreeMap<Key, usize>,
    refused: BTreeMap<Key, String>,
    decoded: usize,
    /// Whether it was decoded after the keys of rows in the lake were last read.
    decided: bool,
    /// Dead letters when it began, and now.
    dead_letters: (usize, usize),
}

impl Flush {
    pub(super) fn new(sealed: Sealed, dead_letter_table: &Key) -> Self {
        let dead = sealed
            .tables
            .iter()
            .find(|(key, _)| key == dead_letter_table);
        let dead = dead.map_or(0, |(_, letters)| {
            letters.iter().map(RecordBatch::num_rows).sum()
        });
        Self {
            written: Vec::with_capacity(sealed.tables.len()),
            sealed,
            name: Uuid::new_v4().to_string(),
            failures: BTreeMap::new(),
            refused: BTreeMap::new(),
            decoded: 0,
            decided: false,
            dead_letters: (dead, dead),
        }
    }

    /// Counts the rows that became dead letters by decoding again, or the other way round.
    pub(super) fn recount(&self, counters: &Counters) {
        let (before, now) = self.dead_letters;
        let wrapping = now.wrapping_sub(before) as u64;
        counters.rows.fetch_sub(wrapping, Ordering::Relaxed);
        counters.dead_letters.fetch_add(wrapping, Ordering::Relaxed);
    }

    fn blame(&mut self, key: Key, error: &Error) {
        tracing::warn!(%key, %error, "a table does not take its rows, decoding them again");
        let failures = self.failures.entry(key.clone()).or_default();
        *failures += 1;
        // A table that is missing is made again, however often it takes.
        if *failures >= MOST_FAILURES && is_lasting(error) {
            self.refused.insert(key, error.to_string());
        }
    }
}

/// Whether decoding again may help.
fn is_of_table(error: &Error) -> bool {
    is_lasting(error) || error.kind() == ErrorKind::NotFound
}

impl Flusher {
    /// Decodes the rows of `flush` again where `failure` is that of a table. True when another
    /// attempt is to be made at once.
    ///
    /// # Errors
    /// A log that cannot be read, which ends ingesting.
    pub(super) async fn mend(&mut self, flush: &mut Flush, failure: &Failure) -> Result<bool> {
        let error = &failure.error;
        if !is_of_table(error) {
            return Ok(false);
        }
        let blamed = match &failure.table {
            Some(key) => vec![(key.clone(), error.clone())],
            None => self.culprits(&flush.written).await,
        };
        // The files may not fit what a table has become: write them anew.
        flush.written.clear();
        if blamed.is_empty() {
            return Ok(false);
        }
        for (key, error) in blamed {
            flush.blame(key, &error);
        }
        self.changed.tell();
        self.decode_again(flush).await?;
        flush.decoded += 1;
        Ok(flush.decoded <= MOST_AT_ONCE)
    }

    /// Decodes the rows of `flush` again where they were compared with rows that have gone from the
    /// lake; `until` is where such rows end, if keys were read anew just now.
    ///
    /// # Errors
    /// A log that cannot be read, which ends ingesting.
    pub(super) async fn decide_again(
        &mut self,
        flush: &mut Flush,
        until: Option<u64>,
    ) -> Result<()> {
        if let Some(until) = until {
            self.undecided = self.undecided.max(until);
            flush.decided = false;
        }
        if self.undecided <= self.watermark || flush.decided {
            return Ok(());
        }
        flush.written.clear();
        self.decode_again(flush).await?;
        flush.decided = true;
        Ok(())
    }

    /// The tables that do not take their files, found by trying each alone.
    async fn culprits(&self, written: &[Append]) -> Vec<(Key, Error)> {
        let lake = &self.tables.lake;
        let Ok(head) = lake.catalog().head(&self.tables.branch).await else {
            return Vec::new();
        };
        let mut culprits = Vec::new();
        for append in written {
            let alone = lake.append(vec![append.clone()]);
            match alone.apply(&head).await {
                Err(error) if is_of_table(&error) => culprits.push((append.key.clone(), error)),
                _ => {}
            }
        }
        culprits
    }

    /// Decides anew what the messages of `flush` become.
    async fn decode_again(&mut self, flush: &mut Flush) -> Result<()> {
        let end = flush.sealed.end;
        // By the streams of now for all of them, whichever were valid when each came.
        let config = self.streams.applied(&self.config);
        let mut decoding = Decoding::new(self.tables.clone(), &config, flush.refused.clone())?;
        decoding.restore(&self.births.until(self.watermark));
        let mut tables: BTreeMap<Key, Vec<RecordBatch>> = BTreeMap::new();
        let (mut rows, mut dead_letters) = (0, 0);
        let mut position = self.watermark;
        self.log.seek(position);
        while position < end {
            let mut group = self.log.next(GROUP).await?;
            group.retain(|record| record.position <= end);
            position = group.last().map_or(end, |last| last.position);
            let decoded = decoding.decode_all(&group).await?;
            rows += decoded.rows + decoded.dead_letters;
            dead_letters += decoded.dead_letters;
            for (key, batch) in decoded.batches {
                tables.entry(key).or_default().push(batch);
            }
        }
        rows -= self.unique.keep_first_again(end, &mut tables)?;
        flush.dead_letters.1 = dead_letters;
        flush.sealed = Sealed {
            end,
            tables: tables.into_iter().collect(),
            rows,
        };
        Ok(())
    }
}
