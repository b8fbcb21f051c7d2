//! Decoding with the lake at hand: messages to batches whose tables are there.
//!
//! Used twice: for messages as they come, and again for those whose table has changed between
//! their decoding and their commit.

use std::collections::BTreeMap;

use catalog::{Key, Result};

use crate::config::IngestConfig;
use crate::decode::{Certificate, Decoded, Decoder};
use crate::tables::{Refusal, Tables};
use crate::wal::Record;

/// Records decoded before their rows are shown: large enough to share the cost of a batch, small
/// enough to hold a worker thread for only some milliseconds.
pub(crate) const GROUP: usize = 1_024;
/// Bytes of rows at which a group ends early: compressed bodies may hold far more than they take.
const GROUP_BYTES: usize = 64 << 20;
/// Times a message may ask for columns before it is given up.
const MOST_NEEDS: usize = 4;
/// Names tried for the dead-letter table.
const MOST_STAND_INS: usize = 9;

/// A decoder that gets the tables it needs.
pub(crate) struct Decoding {
    tables: Tables,
    decoder: Decoder,
    dead_letter_table: Key,
    dead_letters_ready: bool,
    /// Tables that take no rows, and why.
    refused: BTreeMap<Key, String>,
}

impl Decoding {
    /// Decodes by validated streams. The messages of `refused` tables become dead letters.
    pub(crate) fn new(
        tables: Tables,
        config: &IngestConfig,
        refused: BTreeMap<Key, String>,
    ) -> Result<Self> {
        Ok(Self {
            tables,
            decoder: Decoder::new(config)?,
            dead_letter_table: config.dead_letter_table.clone(),
            dead_letters_ready: false,
            refused,
        })
    }

    /// The same, for messages of other times; see [`Decoder::without_births`].
    pub(crate) fn without_births(mut self) -> Self {
        self.decoder = self.decoder.without_births();
        self
    }

    /// Remembers the Sparkplug birth certificates that came before what is decoded first. Those
    /// that no stream takes come back as revoked: what follows them will not be seen.
    pub(crate) fn restore(&mut self, births: &[Certificate]) -> Vec<Certificate> {
        let untaken = births.iter().filter(|birth| !self.decoder.restore(birth));
        let known = |birth: &&Certificate| !birth.payload.is_empty();
        untaken.filter(known).map(Certificate::revoked).collect()
    }

    /// Looks at every table anew when a message next needs it.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.dead_letters_ready = false;
        self.decoder.forget_schemas()
    }

    /// Decodes records from the start of `group`, all of them unless they make too many rows, and
    /// says how many. Every table of the batches exists.
    ///
    /// # Errors
    /// `Internal`, which is a fault of this crate; everything else makes dead letters.
    pub(crate) async fn decode(&mut self, group: &[Record]) -> Result<(usize, Decoded)> {
        // What was wrong with a table may have been mended since the last group.
        self.decoder.pardon();
        for (key, reason) in &self.refused {
            self.decoder.refuse(key, reason);
        }
        let mut done = 0;
        while done < group.len() && self.decoder.bytes() < GROUP_BYTES {
            self.push(&group[done], group.len() - done).await?;
            done += 1;
        }
        if self.decoder.has_dead_letters() && !self.dead_letters_ready {
            self.provide_dead_letters().await?;
        }
        Ok((done, self.decoder.finish()?))
    }

    /// Decodes all of `group`, however many rows that makes.
    ///
    /// # Errors
    /// Those of [`Decoding::decode`].
    pub(crate) async fn decode_all(&mut self, mut group: &[Record]) -> Result<Decoded> {
        let mut all = Decoded::default();
        while !group.is_empty() {
            let (done, decoded) = self.decode(group).await?;
            all.extend(decoded);
            group = &group[done..];
        }
        Ok(all)
    }

    /// Decodes one record, asking the lake for columns it needs.
    async fn push(&mut self, record: &Record, capacity: usize) -> Result<()> {
        let message = &record.message;
        for attempt in 0.. {
            let Err(need) = self.decoder.push(message, capacity) else {
                break;
            };
            let reason = match self.tables.provide(&need).await {
                Ok(table) if attempt < MOST_NEEDS => {
                    self.decoder.set_schema(&need.key, &table.arrow_schema())?;
                    continue;
                }
                Ok(_) => "its table does not take its columns".to_owned(),
                Err(Refusal::Columns(error)) => error.to_string(),
                Err(Refusal::Table(error)) => {
                    let reason = error.to_string();
                    self.decoder.refuse(&need.key, &reason);
                    reason
                }
            };
            self.decoder.dead_letter(message, &reason, &need);
            break;
        }
        Ok(())
    }

    /// Prepares the dead-letter table, or one of a like name where that takes none.
    async fn provide_dead_letters(&mut self) -> Result<()> {
        let mut refusal = None;
        for key in stand_ins(&self.dead_letter_table) {
            if self.refused.contains_key(&key) {
                continue;
            }
            match self.tables.provide_dead_letters(&key).await {
                Ok(_) => {
                    self.decoder.set_dead_letter_table(key);
                    self.dead_letters_ready = true;
                    return Ok(());
                }
                Err(Refusal::Table(error) | Refusal::Columns(error)) => {
                    tracing::warn!(%error, %key, "the table takes no dead letters, trying another");
                    refusal = Some(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| catalog::Error::internal("no table takes dead letters")))
    }
}

/// The table of dead letters, and those that stand in for it where it takes none.
pub(crate) fn stand_ins(dead_letter_table: &Key) -> impl Iterator<Item = Key> {
    (1..=MOST_STAND_INS).map(|n| {
        let mut key = dead_letter_table.clone();
        if n > 1 {
            key.name = format!("{}_{n}", key.name);
        }
        key
    })
}
