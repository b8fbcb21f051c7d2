//! Decoding letters again, for good or only to see what would come of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use catalog::{Error, ErrorKind, Key, Result};
use lake::Lake;

use super::filter::TopicEdit;
use super::letters::{self, Letter};
use crate::config::IngestConfig;
use crate::decode::{Decoded, Decoder, Need};
use crate::decoding::{Decoding, GROUP, stand_ins};
use crate::stats::Counters;
use crate::tables::Tables;
use crate::wal::{Message, Record};

/// What came of letters that were decoded again.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Rows for each table.
    pub(super) rows: BTreeMap<Key, Vec<RecordBatch>>,
    /// Letters that failed again: which ones, and as what they are to stay.
    pub(super) failed: Vec<(usize, Letter)>,
}

/// What decodes letters.
pub(super) enum Decoders {
    /// Makes the tables and columns that rows need.
    Real(Box<Decoding>),
    /// Pretends that they are there.
    Pretending(Box<Pretending>),
}

pub(super) struct Pretending {
    lake: Lake,
    branch: String,
    decoder: Decoder,
    schemas: HashMap<Key, SchemaRef>,
}

impl Decoders {
    pub(super) fn new(lake: &Lake, config: &IngestConfig, dry_run: bool) -> Result<Self> {
        let branch = config.branch.clone();
        if dry_run {
            return Ok(Self::Pretending(Box::new(Pretending {
                lake: lake.clone(),
                branch,
                decoder: Decoder::new(config)?.without_births(),
                schemas: HashMap::new(),
            })));
        }
        let tables = Tables {
            lake: lake.clone(),
            branch,
            counters: Arc::new(Counters::default()),
        };
        let decoding = Decoding::new(tables, config, BTreeMap::new())?;
        Ok(Self::Real(Box::new(decoding.without_births())))
    }

    /// Decodes `letters`, with their topics edited.
    pub(super) async fn decode(
        &mut self,
        letters: &[Letter],
        edit: Option<&TopicEdit>,
        dead_letter_table: &Key,
    ) -> Result<Trial> {
        let mut trial = Trial::default();
        let dead_tables: Vec<Key> = stand_ins(dead_letter_table).collect();
        for (group, letters) in letters.chunks(GROUP).enumerate() {
            let records: Vec<Record> = letters.iter().map(|it| record(it, edit)).collect();
            let decoded = match self {
                Self::Real(decoding) => decoding.decode_all(&records).await?,
                Self::Pretending(pretending) => pretending.decode(&records).await?,
            };
            let mut failed = Vec::new();
            for (key, batch) in decoded.batches {
                match dead_tables.contains(&key) {
                    true => failed.extend(letters::letters(&batch)?),
                    false => trial.rows.entry(key).or_default().push(batch),
                }
            }
            let from = group * GROUP;
            let which = attributed(&records, &failed)?.into_iter().zip(failed);
            trial.failed.extend(which.map(|(at, failed)| {
                // The letter stays as it arrived; only the reason may be another.
                let mut letter = letters[at].clone();
                letter.reason = failed.reason;
                letter.stream = failed.stream;
                (from + at, letter)
            }));
        }
        Ok(trial)
    }
}

fn record(letter: &Letter, edit: Option<&TopicEdit>) -> Record {
    let topic = edit.map_or_else(|| letter.topic.clone(), |edit| edit.apply(&letter.topic));
    Record {
        position: 0,
        message: Message {
            client: 0,
            packet_id: 0,
            dup: false,
            received: letter.received,
            topic: Bytes::from(topic),
            payload: letter.payload.clone(),
        },
    }
}

/// Which of `records` the failed ones are, which came in the same order. Those that are
/// alike in all that a letter holds are taken for each other.
///
/// # Errors
/// `Internal` for a failed one that is none of them: then nothing may be changed.
fn attributed(records: &[Record], failed: &[Letter]) -> Result<Vec<usize>> {
    let mut rest = records.iter().enumerate();
    let found = failed.iter().map(|letter| {
        let is = |record: &Record| {
            let message = &record.message;
            message.received == letter.received
                && message.payload == letter.payload
                && message.topic == letter.topic.as_bytes()
        };
        let at = rest.find(|(_, record)| is(record)).map(|(at, _)| at);
        at.ok_or_else(|| Error::internal("a letter that failed again is none of those sent"))
    });
    found.collect()
}

impl Pretending {
    async fn decode(&mut self, records: &[Record]) -> Result<Decoded> {
        for (at, record) in records.iter().enumerate() {
            let message = &record.message;
            if let Err(need) = self.decoder.push(message, records.len() - at) {
                let schema = self.pretend(&need).await?;
                self.decoder.set_schema(&need.key, &schema)?;
                if let Err(need) = self.decoder.push(message, records.len() - at) {
                    let reason = "its table does not take its columns";
                    self.decoder.dead_letter(message, reason, &need);
                }
            }
        }
        self.decoder.finish()
    }

    /// The table's columns, and those that are needed.
    async fn pretend(&mut self, need: &Need) -> Result<SchemaRef> {
        let known = match self.schemas.get(&need.key) {
            Some(schema) => Arc::clone(schema),
            None => {
                let head = self.lake.catalog().head(&self.branch).await?;
                match self.lake.table(&head, &need.key).await {
                    Ok(table) => table.arrow_schema(),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Arc::clone(&need.spec.schema)
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let new = need.columns.fields().iter();
        let new = new.filter(|field| known.field_with_name(field.name()).is_err());
        let fields: Vec<Arc<Field>> = known.fields().iter().chain(new).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        self.schemas.insert(need.key.clone(), Arc::clone(&schema));
        Ok(schema)
    }
}
