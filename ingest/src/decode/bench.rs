//! A decoder whose tables take every column they are asked for, for tests and fuzzing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use catalog::Key;

#[cfg(test)]
use super::Certificate;
use super::kind::Column;
use super::{Decoded, Decoder, Need};
use crate::config::{BrokerConfig, IngestConfig, Source, StreamConfig};
use crate::wal::Message;

/// When every message arrives.
pub(crate) const RECEIVED: i64 = 1_700_000_000_000_000;
/// Times a message may ask for columns, as for the real tables.
const MOST_NEEDS: usize = 4;

/// Bytes of rows, and dead letters.
pub(crate) struct Pending {
    pub(crate) bytes: usize,
    pub(crate) dead_letters: usize,
}

/// A decoder on tables in memory.
pub(crate) struct Bench {
    decoder: Decoder,
    tables: BTreeMap<Key, SchemaRef>,
}

impl Bench {
    /// Decodes by these streams, which must be valid.
    pub(crate) fn new(streams: Vec<StreamConfig>) -> Self {
        Self::with_limit(streams, 10_000)
    }

    /// The same with messages of up to so many bytes.
    pub(crate) fn with_limit(streams: Vec<StreamConfig>, bytes: usize) -> Self {
        let source = Source::Embedded(BrokerConfig::default());
        let mut config = IngestConfig::new("unused", source, streams);
        config.max_message_bytes = bytes;
        config.validate().expect("the streams are valid");
        Self {
            decoder: Decoder::new(&config).expect("the streams are valid"),
            tables: BTreeMap::new(),
        }
    }

    /// Gives a table columns before any message asks for them.
    #[cfg(test)]
    pub(crate) fn begin(&mut self, table: &str, columns: Vec<arrow::datatypes::Field>) {
        let key: Key = table.parse().expect("the name is valid");
        let schema = Arc::new(Schema::new(columns));
        self.decoder
            .set_schema(&key, &schema)
            .expect("nothing was decoded yet");
        self.tables.insert(key, schema);
    }

    /// Decodes a message, giving its table what it asks for.
    pub(crate) fn push(&mut self, topic: &[u8], payload: &[u8]) {
        let message = Message {
            client: 1,
            packet_id: 1,
            dup: false,
            received: RECEIVED,
            topic: Bytes::copy_from_slice(topic),
            payload: Bytes::copy_from_slice(payload),
        };
        for attempt in 0.. {
            let Err(need) = self.decoder.push(&message, 4) else {
                return;
            };
            if attempt == MOST_NEEDS || !self.provide(&need) {
                self.decoder.dead_letter(&message, "no such columns", &need);
                return;
            }
        }
    }

    /// Gives a table what is needed; false where that clashes with what it has.
    fn provide(&mut self, need: &Need) -> bool {
        let table = match self.tables.get(&need.key) {
            None => Some(Arc::clone(&need.spec.schema)),
            Some(has) => merged(has, &need.columns),
        };
        let Some(table) = table else {
            return false;
        };
        self.decoder
            .set_schema(&need.key, &table)
            .expect("what was decoded makes batches");
        self.tables.insert(need.key.clone(), table);
        true
    }

    /// What waits to be finished.
    pub(crate) fn pending(&self) -> Pending {
        Pending {
            bytes: self.decoder.bytes,
            dead_letters: self.decoder.dead.count,
        }
    }

    /// Everything since the last call.
    pub(crate) fn finish(&mut self) -> Decoded {
        self.decoder
            .finish()
            .expect("what was decoded makes batches")
    }

    /// Remembers certificates of another decoder.
    #[cfg(test)]
    pub(crate) fn restore(&mut self, births: &[Certificate]) {
        for birth in births {
            self.decoder.restore(birth);
        }
    }
}

/// The columns of both, widened; none where types clash.
fn merged(has: &SchemaRef, wanted: &SchemaRef) -> Option<SchemaRef> {
    let mut fields: Vec<FieldRef> = has.fields().to_vec();
    for field in wanted.fields() {
        let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
            fields.push(Arc::clone(field));
            continue;
        };
        let kind = Column::of(known).kind?.union(Column::of(field).kind?)?;
        *known = Column::new(known.name(), kind).field()?;
    }
    Some(Arc::new(Schema::new(fields)))
}
