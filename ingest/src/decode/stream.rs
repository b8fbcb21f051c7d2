//! The row rule: one message of a stream becomes its rows, or the reason why it cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::Result;
use lake::PartitionField;

use super::kind::{Column, Kind};
use super::line_protocol::{Line, Lines};
use super::rows::{Cells, Problem, Rows};
use super::sparkplug::{self, Act, Births};
use super::table::TableRows;
use super::value::Value;
use super::{compression, csv, json, time};
use crate::config::{Compression, Nested, PayloadFormat, StreamConfig, TimeFormat};
use crate::topic::Template;
use crate::unique;

/// The column of line protocol's measurement.
const MEASUREMENT: &str = "measurement";
/// A payload may be so many times as large once it is decompressed.
const MOST_EXPANSION: usize = 8;

/// A stream, ready to decode by.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) template: Template,
    /// Index of its table among the decoder's.
    pub(super) table: usize,
    variables: Vec<String>,
    time: String,
    partition: Vec<PartitionField>,
    time_format: TimeFormat,
    device: Option<String>,
    declared: BTreeMap<String, Kind>,
    format: PayloadFormat,
    fields: Vec<String>,
    compression: Compression,
    nested: Nested,
    dedup: Vec<String>,
    retain: Option<String>,
    /// Bytes of a decompressed payload.
    most_bytes: usize,
}

/// A message as its stream sees it.
pub(super) struct Received<'m> {
    pub(super) topic: &'m [u8],
    /// What the topic says for the variables.
    pub(super) levels: &'m [String],
    pub(super) payload: &'m [u8],
    pub(super) at: i64,
}

/// The column of a Sparkplug value.
enum Named<'n> {
    Fixed(&'n str),
    Metric(Arc<str>),
}

impl AsRef<str> for Named<'_> {
    fn as_ref(&self) -> &str {
        match self {
            Self::Fixed(name) => name,
            Self::Metric(name) => name,
        }
    }
}

impl Stream {
    pub(super) fn new(config: &StreamConfig, table: usize, most_bytes: usize) -> Result<Self> {
        let template = config.template()?;
        let variables: Vec<String> = template.variables().map(str::to_owned).collect();
        let mut declared = BTreeMap::new();
        for (name, kind) in &config.columns {
            declared.insert(name.clone(), Kind::parse(kind)?);
        }
        let last = match config.format {
            PayloadFormat::SparkplugB => Some(sparkplug::DEVICE.to_owned()),
            _ => variables.last().cloned(),
        };
        Ok(Self {
            name: config.name.clone(),
            template,
            table,
            device: config.device.clone().or(last),
            variables,
            time: config.time.clone(),
            partition: config.partitioning()?,
            time_format: config.time_format,
            declared,
            format: config.format,
            fields: config.fields.clone(),
            compression: config.compression,
            nested: config.nested,
            dedup: config.dedup.clone(),
            retain: config.retain.clone(),
            most_bytes: most_bytes.saturating_mul(MOST_EXPANSION),
        })
    }

    /// What the files of a new table are split by.
    pub(super) fn partition(&self) -> &[PartitionField] {
        &self.partition
    }

    /// The column rows are timed by.
    pub(super) fn time(&self) -> &str {
        &self.time
    }

    /// The column a device is known by.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// What a new table says of its rows.
    pub(super) fn properties(&self) -> BTreeMap<String, String> {
        let dedup = (!self.dedup.is_empty()).then(|| self.dedup.join(","));
        let dedup = dedup.map(|columns| (unique::PROPERTY.to_owned(), columns));
        let retain = self.retain.clone();
        let retain = retain.map(|age| (lake::maintain::RETAIN.to_owned(), age));
        dedup.into_iter().chain(retain).collect()
    }

    /// The columns a new table gets for a message that brings `first`: those, then what is declared.
    pub(super) fn all_columns(&self, first: &[Column]) -> Vec<Column> {
        let mut columns = first.to_vec();
        let device = self.device.iter().map(|name| (name, &Kind::String));
        for (name, kind) in self.declared.iter().chain(device) {
            if !columns.iter().any(|known| known.name == *name) {
                columns.push(Column::new(name, kind.clone()));
            }
        }
        columns
    }

    /// Adds the message's rows to `rows`; the bytes they take, more or less.
    ///
    /// # Errors
    /// A [`Problem`], and then `rows` is as before.
    pub(super) fn decode(
        &self,
        message: &Received<'_>,
        births: &mut Births,
        rows: Option<&mut TableRows>,
        capacity: usize,
    ) -> Result<usize, Problem> {
        let body = compression::body(message.payload, self.compression, self.most_bytes);
        let body = body.inspect_err(|_| self.refuse(message.topic, births))?;
        let mut cells = self.cells(message, &body, births, rows.as_deref())?;
        if self.format == PayloadFormat::SparkplugB {
            // Only now: until its table has the columns the message comes again.
            let topic = String::from_utf8_lossy(message.topic);
            sparkplug::end(&topic, Act::Death, births);
        }
        cells.bytes += body.len();
        let bytes = cells.bytes;
        if let Some(rows) = rows {
            rows.append(cells, capacity);
        }
        Ok(bytes)
    }

    fn cells<'a>(
        &self,
        message: &Received<'a>,
        body: &'a [u8],
        births: &mut Births,
        table: Option<&TableRows>,
    ) -> Result<Cells<'a>, Problem> {
        let mut rows = Rows::new(table);
        match self.format {
            PayloadFormat::Json => json::rows(body, |fields| {
                let fields = fields.into_iter().map(|(name, value)| (name, value, None));
                self.row(&mut rows, message, fields)
            })?,
            PayloadFormat::Csv => csv::rows(body, &self.fields, |names, record| {
                let values = record.iter().map(|text| match text.is_empty() {
                    true => Value::Null,
                    false => Value::Bare(text.to_owned().into()),
                });
                let named = names.iter().zip(values);
                let fields = named.map(|(name, value)| (name.as_str(), value, None));
                self.row(&mut rows, message, fields)
            })?,
            PayloadFormat::LineProtocol => {
                let mut lines = Lines::new(body)?;
                while let Some(line) = lines.next()? {
                    self.point(&mut rows, message, line)?;
                }
            }
            PayloadFormat::SparkplugB => self.sparkplug(&mut rows, message, body, births)?,
        }
        rows.finish()
    }

    /// Adds a row of `fields`, each with its name, value, and the type its notation gives it.
    fn row<'a, N: AsRef<str>>(
        &self,
        rows: &mut Rows<'_, 'a>,
        message: &Received<'a>,
        fields: impl Iterator<Item = (N, Value<'a>, Option<Kind>)>,
    ) -> Result<(), Problem> {
        rows.begin(message.topic.len())?;
        for (name, level) in self.variables.iter().zip(message.levels) {
            rows.set(
                name,
                Value::Text(level.as_str().into()),
                Some(&Kind::String),
            )?;
        }
        let mut timed = false;
        for (name, value, kind) in fields {
            timed |= self.take(rows, message, name.as_ref(), value, kind.as_ref())?;
        }
        if !timed {
            rows.set_time(&self.time, message.at)?;
        }
        rows.end()
    }

    /// Puts a field into the row; true when it was the time.
    fn take<'a>(
        &self,
        rows: &mut Rows<'_, 'a>,
        message: &Received<'a>,
        name: &str,
        value: Value<'a>,
        kind: Option<&Kind>,
    ) -> Result<bool, Problem> {
        if let Some(at) = self.variables.iter().position(|v| v == name) {
            let level = &message.levels[at];
            return match value {
                Value::Text(text) | Value::Bare(text) if text == *level => Ok(false),
                Value::Null => Ok(false),
                _ => Err(Problem::Dead(format!(
                    "field '{name}' differs from '{level}' in the topic"
                ))),
            };
        }
        if name == self.time {
            if value == Value::Null || self.time_format == TimeFormat::Arrival {
                return Ok(false);
            }
            let micros = time::micros(&value, self.time_format);
            let micros = micros.map_err(|reason| format!("field '{name}': {reason}"))?;
            rows.set(name, Value::Micros(micros), Some(&Kind::Timestamp))?;
            return Ok(true);
        }
        let value = match value {
            Value::Object(_) | Value::List(_) if self.nested == Nested::Text => {
                Value::Text(value.to_json().into())
            }
            value => value,
        };
        rows.set(name, value, self.declared.get(name).or(kind))?;
        Ok(false)
    }

    /// Adds the row of a line of line protocol.
    fn point<'a>(
        &self,
        rows: &mut Rows<'_, 'a>,
        message: &Received<'a>,
        line: Line<'a>,
    ) -> Result<(), Problem> {
        let text = Some(Kind::String);
        let time = line
            .time
            .map(|time| (self.time.as_str().into(), Value::Int(time), None));
        let measurement = (
            MEASUREMENT.into(),
            Value::Text(line.measurement),
            text.clone(),
        );
        let tags = line.tags.into_iter();
        let tags = tags.map(|(name, value)| (name, Value::Text(value), text.clone()));
        let fields = line.fields.into_iter();
        let fields = fields.map(|(name, value, kind)| (name, value, Some(kind)));
        let all = [measurement]
            .into_iter()
            .chain(tags)
            .chain(fields)
            .chain(time);
        self.row(rows, message, all)
    }

    fn sparkplug<'a>(
        &self,
        rows: &mut Rows<'_, 'a>,
        message: &Received<'a>,
        body: &[u8],
        births: &mut Births,
    ) -> Result<(), Problem> {
        let topic = String::from_utf8_lossy(message.topic);
        let found = sparkplug::rows(&self.source(&topic), body, births)?;
        for row in found.rows {
            let time = row.time.map(Value::Micros);
            let time = time.map(|time| (Named::Fixed(&self.time), time, None));
            let common = found.common.iter().cloned().chain([row.online()]);
            let common = common.map(|(name, value, kind)| (Named::Fixed(name), value, Some(kind)));
            let points = row.points.into_iter();
            let points = points.map(|p| (Named::Metric(p.column), p.value, Some(p.kind)));
            self.row(rows, message, common.chain(time).chain(points))?;
        }
        Ok(())
    }

    /// Sees to it that data is not read by the birth certificate before one that is refused.
    pub(super) fn refuse(&self, topic: &[u8], births: &mut Births) {
        if self.format == PayloadFormat::SparkplugB {
            let topic = String::from_utf8_lossy(topic);
            sparkplug::end(&topic, Act::Birth, births);
        }
    }

    /// Remembers a birth certificate of earlier; false where the stream takes none.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn restore(
        &self,
        topic: &str,
        body: &[u8],
        births: &mut Births,
    ) -> Result<bool, String> {
        match self.format {
            PayloadFormat::SparkplugB => {
                sparkplug::restore(&self.source(topic), body, births).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    fn source<'s>(&'s self, topic: &'s str) -> sparkplug::Source<'s> {
        sparkplug::Source {
            topic,
            time: &self.time,
            most: self.most_bytes,
        }
    }
}
