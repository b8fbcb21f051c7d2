//! Messages that could not become rows, kept whole with the reason.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Error, Result};

use super::Kind;
use crate::deadletters::Letter;
use crate::wal::Message;

/// The column dead letters are partitioned by.
pub(crate) const RECEIVED_AT: &str = "received_at";

/// The columns of the dead-letter table.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(RECEIVED_AT, Kind::Timestamp.data_type(), true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("payload", DataType::Binary, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("stream", DataType::Utf8, true),
    ]))
}

/// `letters` as rows of the dead-letter table, if there are any.
///
/// # Errors
/// `Internal` when the columns do not make a batch, which is a fault of this crate.
pub(crate) fn dead_letters(letters: &[Letter]) -> Result<Option<RecordBatch>> {
    let mut rows = DeadLetters::new();
    for letter in letters {
        rows.received_at.append_value(letter.received);
        rows.topic.append_value(&letter.topic);
        rows.payload.append_value(&letter.payload);
        rows.reason.append_value(&letter.reason);
        rows.stream.append_option(letter.stream.as_deref());
        rows.count += 1;
    }
    rows.take()
}

/// Dead letters collected since the last batch.
pub(super) struct DeadLetters {
    received_at: TimestampMicrosecondBuilder,
    topic: StringBuilder,
    payload: BinaryBuilder,
    reason: StringBuilder,
    stream: StringBuilder,
    pub(super) count: usize,
}

impl DeadLetters {
    pub(super) fn new() -> Self {
        Self {
            received_at: TimestampMicrosecondBuilder::with_capacity(8)
                .with_data_type(Kind::Timestamp.data_type()),
            topic: StringBuilder::with_capacity(8, 256),
            payload: BinaryBuilder::with_capacity(8, 256),
            reason: StringBuilder::with_capacity(8, 256),
            stream: StringBuilder::with_capacity(8, 256),
            count: 0,
        }
    }

    pub(super) fn push(&mut self, message: &Message, reason: &str, stream: Option<&str>) {
        self.received_at.append_value(message.received);
        self.topic
            .append_value(String::from_utf8_lossy(&message.topic));
        self.payload.append_value(&message.payload);
        self.reason.append_value(reason);
        self.stream.append_option(stream);
        self.count += 1;
    }

    /// The letters collected, if there are any.
    ///
    /// # Errors
    /// `Internal` when the columns do not make a batch, which is a fault of this crate.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut full = std::mem::replace(self, Self::new());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(full.received_at.finish()),
            Arc::new(full.topic.finish()),
            Arc::new(full.payload.finish()),
            Arc::new(full.reason.finish()),
            Arc::new(full.stream.finish()),
        ];
        let batch = RecordBatch::try_new(schema(), columns).map_err(|e| {
            Error::internal("dead letters do not make a record batch").with_source(e)
        })?;
        Ok(Some(batch))
    }
}
