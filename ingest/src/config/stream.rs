//! How the messages of one topic template become rows of one table.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Error, Key, Result};
use lake::PartitionField;
use serde::{Deserialize, Serialize};

use super::payload::{Compression, Nested, PayloadFormat, TimeFormat};
use crate::decode::Kind;
use crate::topic::{self, Template};

/// How the messages of one topic template become rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// The stream's name, as dead letters and logs show it.
    pub name: String,
    /// Topic template such as `pumps/{site}/{pump}/telemetry`; each `{name}` becomes a string column.
    /// With Sparkplug B `spBv1.0/#`, or `spBv1.0/GROUP/#` for one group.
    pub topic: String,
    /// The table rows go to; created at the first good message.
    pub table: Key,
    /// The column a device is known by: sorted and bloom-filtered. Default: the template's last variable.
    #[serde(default)]
    pub device: Option<String>,
    /// The payload field, and column, that holds the time of a row.
    #[serde(default = "default_time")]
    pub time: String,
    /// Declared column types by name: boolean, int, long, float, double, string, binary, timestamp,
    /// date, `list<TYPE>`, `struct<name: TYPE, ...>`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Columns that name a row, such as `["pump", "ts"]`: of rows with the same values in all of
    /// them the first one is kept. Empty: every message is a row.
    #[serde(default)]
    pub dedup: Vec<String>,
    /// How long rows are kept by their time, such as `90d`, as the table's property
    /// `pumphouse.retain`. None leaves the table as it is: it keeps them for ever at first.
    #[serde(default)]
    pub retain: Option<String>,
    /// What the table's files are split by when it is made: columns such as `pump`, and `day(ts)`,
    /// `bucket(16, pump)` and the like. Empty: the day of the time.
    #[serde(default)]
    pub partition: Vec<String>,
    /// How a payload holds its rows.
    #[serde(default)]
    pub format: PayloadFormat,
    /// CSV: the names of the fields in order; empty when the first line of each message names them.
    #[serde(default)]
    pub fields: Vec<String>,
    /// How payloads are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// How a payload writes the time of a row.
    #[serde(default)]
    pub time_format: TimeFormat,
    /// What becomes of objects and arrays in JSON fields.
    #[serde(default)]
    pub nested: Nested,
}

fn default_time() -> String {
    "ts".into()
}

impl StreamConfig {
    /// A stream with the defaults: the time in `ts`, the device in the topic's last variable, every
    /// column inferred.
    pub fn new(name: impl Into<String>, topic: impl Into<String>, table: Key) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            table,
            device: None,
            time: default_time(),
            columns: BTreeMap::new(),
            dedup: Vec::new(),
            retain: None,
            partition: Vec::new(),
            format: PayloadFormat::default(),
            fields: Vec::new(),
            compression: Compression::default(),
            time_format: TimeFormat::default(),
            nested: Nested::default(),
        }
    }

    /// The topics of the stream.
    ///
    /// # Errors
    /// `InvalidInput` saying what is wrong with `topic`.
    pub(crate) fn template(&self) -> Result<Template> {
        match self.format {
            PayloadFormat::SparkplugB => Template::sparkplug(&self.topic),
            _ => Template::parse(&self.topic),
        }
    }

    /// Whether a topic may be one of both streams.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.template(), other.template()) {
            (Ok(own), Ok(other)) => topic::overlaps(&own.filter(), &other.filter()),
            _ => false,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |what: String| Error::invalid(format!("stream '{}': {what}", self.name));
        let named =
            |e: Error| wrong(e.message().to_owned()).with_hint(e.hint().unwrap_or_default());
        let template = self.template().map_err(named)?;
        if template.variables().any(|v| v == self.time) {
            return Err(wrong(format!(
                "'{}' is both the time field and a variable of the topic",
                self.time
            ))
            .with_hint("rename the variable"));
        }
        if let Some(age) = &self.retain
            && lake::maintain::parse_age(age).is_none()
        {
            return Err(wrong(format!("`retain` is '{age}'"))
                .with_hint("write an age above 0 such as \"90d\", \"36h\" or seconds"));
        }
        for (index, column) in self.dedup.iter().enumerate() {
            if column.is_empty() || column.contains(',') {
                return Err(wrong(format!("'{column}' in `dedup` cannot be a column")));
            }
            if self.dedup[..index].contains(column) {
                return Err(wrong(format!("`dedup` names the column '{column}' twice")));
            }
        }
        self.validate_format()?;
        for (column, kind) in &self.columns {
            let kind = Kind::parse(kind)
                .map_err(|e| wrong(format!("column '{column}': {}", e.message())))?;
            if *column == self.time && kind != Kind::Timestamp {
                return Err(wrong(format!("the time field '{column}' is a timestamp")));
            }
            if template.variables().any(|v| v == column) && kind != Kind::String {
                return Err(wrong(format!(
                    "the topic's variable '{column}' is a string"
                )));
            }
        }
        self.validate_partition(&template).map_err(named)
    }

    /// What the table's files are split by when it is made.
    ///
    /// # Errors
    /// `InvalidInput` for what is no partition field.
    pub(crate) fn partitioning(&self) -> Result<Vec<PartitionField>> {
        match self.partition.as_slice() {
            [] => Ok(vec![PartitionField::day(self.time.clone())]),
            fields => fields.iter().map(|field| field.parse()).collect(),
        }
    }

    /// The columns that every table of the stream has from the first row on.
    pub(crate) fn known_columns(&self, template: &Template) -> Result<Schema> {
        let mut columns: BTreeMap<String, DataType> = BTreeMap::new();
        for (name, kind) in &self.columns {
            columns.insert(name.clone(), Kind::parse(kind)?.data_type());
        }
        let texts = template.variables().map(str::to_owned);
        let device = match self.format {
            PayloadFormat::SparkplugB => {
                Some(self.device.clone().unwrap_or_else(|| "device".to_owned()))
            }
            _ => self.device.clone(),
        };
        for name in texts.chain(device) {
            columns.entry(name).or_insert(DataType::Utf8);
        }
        columns.insert(self.time.clone(), Kind::Timestamp.data_type());
        let fields = columns.into_iter();
        let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
        Ok(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn validate_partition(&self, template: &Template) -> Result<()> {
        let fields = self.partitioning()?;
        let known = self.known_columns(template)?;
        if let Some(field) = fields
            .iter()
            .find(|f| known.field_with_name(&f.column).is_err())
        {
            let names = known.fields().iter().map(|field| field.name().as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(format!(
                "the partition column '{}' may be missing in the first message",
                field.column
            ))
            .with_hint(format!(
                "declare its type in `columns`; known beforehand are {names}"
            )));
        }
        lake::check_partition(&known, &fields)
    }

    /// Settings that only some formats have.
    fn validate_format(&self) -> Result<()> {
        let wrong = |what: &str, hint: &str| {
            Err(Error::invalid(format!("stream '{}': {what}", self.name)).with_hint(hint))
        };
        if !self.fields.is_empty() && self.format != PayloadFormat::Csv {
            return wrong(
                "'fields' are for CSV",
                "set format = \"csv\", or leave them out",
            );
        }
        if let Some(name) = repeated(&self.fields) {
            let what = format!("'fields' has '{name}' twice, or a name that is empty");
            return wrong(&what, "give every field its own name");
        }
        if self.format == PayloadFormat::SparkplugB && self.time_format != TimeFormat::Auto {
            let hint = "leave time_format out";
            return wrong("Sparkplug B has a format of time of its own", hint);
        }
        Ok(())
    }
}

/// A name that cannot be a column for being empty or there twice.
fn repeated(names: &[String]) -> Option<&String> {
    let mut all = names.iter().enumerate();
    let found = all.find(|(at, name)| name.is_empty() || names[..*at].contains(name));
    found.map(|(_, name)| name)
}
