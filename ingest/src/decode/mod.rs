//! Messages to typed rows: topic to stream, payload to columns, everything else to dead letters.
//!
//! Decoding is plain computation. A message is taken apart by its stream's format (`json`, `csv`,
//! `line_protocol`, `sparkplug`), its values become cells of the table's columns (`kind`,
//! `convert`, `rows`), and the cells of all its rows go into the builders, or none do. Where a
//! message needs columns its table does not have, [`Decoder`] says so and the caller asks the lake,
//! then decodes the message again.

mod bare;
#[cfg(any(test, fuzzing))]
pub(crate) mod bench;
mod builder;
mod compression;
mod convert;
mod csv;
mod dead_letter;
mod declared;
mod flat;
mod json;
mod kind;
mod line_protocol;
mod rows;
mod sparkplug;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use catalog::{Key, Result};
use lake::TableSpec;

use crate::config::IngestConfig;
use crate::wal::Message;
use dead_letter::DeadLetters;
use kind::Column;
use rows::Problem;
use sparkplug::Births;
use stream::{Received, Stream};
use table::TableRows;

pub(crate) use dead_letter::{RECEIVED_AT, dead_letters, schema as dead_letter_schema};
pub(crate) use kind::Kind;
pub(crate) use sparkplug::{Certificate, SparkplugCounts};

/// Topics whose stream and levels are remembered.
const MOST_TOPICS: usize = 10_000;

/// Turns messages into record batches per table.
pub(crate) struct Decoder {
    streams: Vec<Stream>,
    tables: Vec<Table>,
    topics: HashMap<Bytes, Option<Match>>,
    dead: DeadLetters,
    dead_letter_table: Key,
    max_message_bytes: usize,
    births: Births,
    /// Bytes of what was pushed since the last batches, more or less.
    bytes: usize,
    /// Batches cut early because their table's schema changed.
    cut: Vec<(Key, RecordBatch)>,
}

struct Table {
    key: Key,
    rows: Option<TableRows>,
    /// Why the table takes no rows at all.
    refused: Option<String>,
}

/// The stream of a topic and the values of its variables.
struct Match {
    stream: usize,
    levels: Vec<String>,
}

/// Columns a message needs before it can be decoded.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) key: Key,
    /// The columns, nullable.
    pub(crate) columns: SchemaRef,
    /// How to create the table when there is none.
    pub(crate) spec: TableSpec,
    /// The stream that asks.
    pub(crate) stream: usize,
}

/// What was decoded since the last call.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Batches of stream tables and of the dead-letter table.
    pub(crate) batches: Vec<(Key, RecordBatch)>,
    /// Rows of stream tables among them.
    pub(crate) rows: usize,
    /// Dead letters among them.
    pub(crate) dead_letters: usize,
    /// Sparkplug birth certificates that say something new.
    pub(crate) births: Vec<Certificate>,
    pub(crate) sparkplug: SparkplugCounts,
}

impl Decoded {
    /// Adds what was decoded after it.
    pub(crate) fn extend(&mut self, later: Self) {
        self.batches.extend(later.batches);
        self.rows += later.rows;
        self.dead_letters += later.dead_letters;
        self.births.extend(later.births);
        self.sparkplug.add(later.sparkplug);
    }
}

impl Decoder {
    /// A decoder for validated streams.
    pub(crate) fn new(config: &IngestConfig) -> Result<Self> {
        let mut tables: Vec<Table> = Vec::new();
        let mut streams = Vec::new();
        for stream in &config.streams {
            let known = tables.iter().position(|t| t.key == stream.table);
            let table = known.unwrap_or_else(|| {
                let key = stream.table.clone();
                tables.push(Table {
                    key,
                    rows: None,
                    refused: None,
                });
                tables.len() - 1
            });
            streams.push(Stream::new(stream, table, config.max_message_bytes)?);
        }
        Ok(Self {
            streams,
            tables,
            topics: HashMap::new(),
            dead: DeadLetters::new(),
            dead_letter_table: config.dead_letter_table.clone(),
            max_message_bytes: config.max_message_bytes,
            births: Births::default(),
            bytes: 0,
            cut: Vec::new(),
        })
    }

    /// Decodes a message into its rows or a dead letter; `capacity` is how many are to be expected
    /// until [`Decoder::finish`].
    ///
    /// # Errors
    /// [`Need`] when the table lacks columns: get them, call [`Decoder::set_schema`], and push the
    /// message again, or make it a dead letter.
    pub(crate) fn push(&mut self, message: &Message, capacity: usize) -> Result<(), Box<Need>> {
        let Some(found) = lookup(&mut self.topics, &self.streams, &message.topic) else {
            self.dead.push(message, "no stream matches the topic", None);
            return Ok(());
        };
        let stream = &self.streams[found.stream];
        if message.payload.len() > self.max_message_bytes {
            let reason = format!(
                "the payload of {} bytes is larger than the {} allowed",
                message.payload.len(),
                self.max_message_bytes
            );
            stream.refuse(&message.topic, &mut self.births);
            self.dead.push(message, &reason, Some(&stream.name));
            return Ok(());
        }
        let table = &mut self.tables[stream.table];
        if let Some(reason) = &table.refused {
            stream.refuse(&message.topic, &mut self.births);
            self.dead.push(message, reason, Some(&stream.name));
            return Ok(());
        }
        let received = Received {
            topic: &message.topic,
            levels: &found.levels,
            payload: &message.payload,
            at: message.received,
        };
        let rows = table.rows.as_mut();
        match stream.decode(&received, &mut self.births, rows, capacity) {
            Ok(bytes) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(Problem::Dead(reason)) => {
                self.dead.push(message, &reason, Some(&stream.name));
                Ok(())
            }
            Err(Problem::Columns(columns)) => Err(Box::new(Need {
                key: table.key.clone(),
                spec: spec(stream, &columns),
                columns: nullable(&columns),
                stream: found.stream,
            })),
        }
    }

    /// Reads Sparkplug data by nothing but its own names and datatypes: births among messages of
    /// other times tell nothing of it.
    pub(crate) fn without_births(mut self) -> Self {
        self.births.blind = true;
        self
    }

    /// Remembers a birth certificate of an earlier [`Decoded`], as data after it needs it; false
    /// where no stream takes it any more.
    pub(crate) fn restore(&mut self, birth: &Certificate) -> bool {
        let Some(found) = lookup(&mut self.topics, &self.streams, &birth.topic) else {
            return false;
        };
        let topic = String::from_utf8_lossy(&birth.topic);
        let stream = &self.streams[found.stream];
        let restored = stream.restore(&topic, &birth.payload, &mut self.births);
        let taken = restored.unwrap_or_else(|reason| {
            tracing::warn!(%topic, reason, "a remembered birth certificate cannot be read");
            false
        });
        // What was learned once is not new.
        self.births.take_learned();
        self.births.take_counts();
        taken
    }

    /// Makes a dead letter of a message that [`Decoder::push`] could not place.
    pub(crate) fn dead_letter(&mut self, message: &Message, reason: &str, need: &Need) {
        let stream = &self.streams[need.stream].name;
        self.dead.push(message, reason, Some(stream));
    }

    /// Tells the schema of a table, new or changed.
    pub(crate) fn set_schema(&mut self, key: &Key, schema: &SchemaRef) -> Result<()> {
        for table in self.tables.iter_mut().filter(|t| t.key == *key) {
            self.cut.extend(table.take()?);
            table.rows = Some(TableRows::new(Arc::clone(schema)));
        }
        Ok(())
    }

    /// Forgets the schemas of all tables: each is asked for again when a message needs it.
    pub(crate) fn forget_schemas(&mut self) -> Result<()> {
        for table in &mut self.tables {
            self.cut.extend(table.take()?);
            table.rows = None;
        }
        Ok(())
    }

    /// Makes every message of the table a dead letter, until [`Decoder::pardon`].
    pub(crate) fn refuse(&mut self, key: &Key, reason: &str) {
        for table in self.tables.iter_mut().filter(|t| t.key == *key) {
            table.refused = Some(reason.to_owned());
        }
    }

    /// Lets every table have rows again.
    pub(crate) fn pardon(&mut self) {
        for table in &mut self.tables {
            table.refused = None;
        }
    }

    /// Where dead letters go from now on.
    pub(crate) fn set_dead_letter_table(&mut self, key: Key) {
        self.dead_letter_table = key;
    }

    /// Bytes of the rows that [`Decoder::finish`] will give, more or less.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether [`Decoder::finish`] will give dead letters.
    pub(crate) fn has_dead_letters(&self) -> bool {
        self.dead.count > 0
    }

    /// The batches of everything pushed since the last call.
    pub(crate) fn finish(&mut self) -> Result<Decoded> {
        let mut decoded = Decoded {
            batches: std::mem::take(&mut self.cut),
            ..Decoded::default()
        };
        for table in &mut self.tables {
            decoded.batches.extend(table.take()?);
        }
        decoded.rows = decoded.batches.iter().map(|(_, b)| b.num_rows()).sum();
        if let Some(batch) = self.dead.take()? {
            decoded.dead_letters = batch.num_rows();
            decoded
                .batches
                .push((self.dead_letter_table.clone(), batch));
        }
        self.bytes = 0;
        decoded.births = self.births.take_learned();
        decoded.sparkplug = self.births.take_counts();
        Ok(decoded)
    }
}

impl Table {
    /// The rows collected, as batches of the table.
    fn take(&mut self) -> Result<Vec<(Key, RecordBatch)>> {
        let batches = self.rows.as_mut().map_or(Ok(Vec::new()), TableRows::take)?;
        let keyed = batches.into_iter().map(|batch| (self.key.clone(), batch));
        Ok(keyed.collect())
    }
}

/// The stream of a topic, remembered from the last time.
fn lookup<'t>(
    topics: &'t mut HashMap<Bytes, Option<Match>>,
    streams: &[Stream],
    topic: &Bytes,
) -> Option<&'t Match> {
    if !topics.contains_key(topic) {
        if topics.len() == MOST_TOPICS {
            topics.clear();
        }
        // Copied, so that the cache does not keep a whole network buffer alive.
        topics.insert(Bytes::copy_from_slice(topic), find(streams, topic));
    }
    topics.get(topic)?.as_ref()
}

fn find(streams: &[Stream], topic: &[u8]) -> Option<Match> {
    let topic = std::str::from_utf8(topic).ok()?;
    streams.iter().enumerate().find_map(|(stream, s)| {
        let levels = s.template.matches(topic)?;
        Some(Match {
            stream,
            levels: levels.into_iter().map(str::to_owned).collect(),
        })
    })
}

fn nullable(columns: &[Column]) -> SchemaRef {
    let fields: Vec<FieldRef> = columns.iter().filter_map(Column::field).collect();
    Arc::new(Schema::new(fields))
}

fn spec(stream: &Stream, first: &[Column]) -> TableSpec {
    let device: Vec<String> = stream.device().map(str::to_owned).into_iter().collect();
    let time = stream.time().to_owned();
    TableSpec {
        schema: nullable(&stream.all_columns(first)),
        partition: stream.partition().to_vec(),
        sort: device.iter().cloned().chain([time]).collect(),
        bloom: device,
        properties: stream.properties(),
        ..TableSpec::default()
    }
}
