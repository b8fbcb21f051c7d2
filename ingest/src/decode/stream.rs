//! The row rule: one message of a stream becomes one row, or the reason why it cannot.

use std::collections::BTreeMap;

use catalog::Result;

use super::Kind;
use super::column::Cell;
use super::table::TableRows;
use super::value::{self, Field, Value};
use crate::config::StreamConfig;
use crate::topic::Template;

/// Columns a table may have before new fields are refused, so that field names made from data
/// cannot grow a table without end.
const MOST_COLUMNS: usize = 1_000;

/// A stream, ready to decode by.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) template: Template,
    /// Index of its table among the decoder's.
    pub(super) table: usize,
    variables: Vec<String>,
    time: String,
    device: Option<String>,
    declared: BTreeMap<String, Kind>,
}

/// Why a message is not a row yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It never will be: the reason.
    Dead(String),
    /// The table lacks these columns (all of them when there is no table yet).
    Columns(Vec<(String, Kind)>),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Dead(reason)
    }
}

impl Stream {
    pub(super) fn new(config: &StreamConfig, table: usize) -> Result<Self> {
        let template = Template::parse(&config.topic)?;
        let variables: Vec<String> = template.variables().map(str::to_owned).collect();
        let mut declared = BTreeMap::new();
        for (name, kind) in &config.columns {
            declared.insert(name.clone(), Kind::parse(kind)?);
        }
        Ok(Self {
            name: config.name.clone(),
            template,
            table,
            device: config.device.clone().or_else(|| variables.last().cloned()),
            variables,
            time: config.time.clone(),
            declared,
        })
    }

    /// The column rows are timed and partitioned by.
    pub(super) fn time(&self) -> &str {
        &self.time
    }

    /// The column a device is known by.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// The columns a new table gets for a message that brings `first`: those, then what is declared.
    pub(super) fn all_columns(&self, first: &[(String, Kind)]) -> Vec<(String, Kind)> {
        let mut columns = first.to_vec();
        let device = self.device.iter().map(|name| (name, Kind::String));
        let declared = self.declared.iter().map(|(name, kind)| (name, *kind));
        for (name, kind) in declared.chain(device) {
            if !columns.iter().any(|(known, _)| known == name) {
                columns.push((name.clone(), kind));
            }
        }
        columns
    }

    /// Adds the message's row to `rows`.
    ///
    /// # Errors
    /// A [`Problem`], and then `rows` is as before.
    pub(super) fn decode(
        &self,
        levels: &[String],
        payload: &[u8],
        received: i64,
        rows: Option<&mut TableRows>,
        capacity: usize,
    ) -> Result<(), Problem> {
        let fields = value::parse_object(payload)?;
        let mut row = Row::new(rows.as_deref());
        for (name, level) in self.variables.iter().zip(levels) {
            row.set(name, Value::Text(level.as_str().into()), Some(Kind::String))?;
        }
        let mut timed = false;
        for field in fields {
            timed |= self.take(field, levels, &mut row)?;
        }
        if !timed {
            row.set_time(&self.time, received)?;
        }
        let cells = row.finish()?;
        match rows {
            Some(rows) => {
                rows.append(cells, capacity);
                Ok(())
            }
            None => Err(Problem::Columns(Vec::new())),
        }
    }

    /// Puts a field into the row; true when it was the time.
    fn take<'a>(
        &self,
        (name, value): Field<'a>,
        levels: &[String],
        row: &mut Row<'_, 'a>,
    ) -> Result<bool, Problem> {
        if let Some(at) = self.variables.iter().position(|v| *v == name) {
            return match value {
                Value::Text(text) if text == levels[at] => Ok(false),
                Value::Null => Ok(false),
                _ => Err(Problem::Dead(format!(
                    "field '{name}' differs from '{}' in the topic",
                    levels[at]
                ))),
            };
        }
        if name == self.time {
            if value == Value::Null {
                return Ok(false);
            }
            row.set(&name, value, Some(Kind::Timestamp))?;
            return Ok(true);
        }
        let kind = self.declared.get(name.as_ref()).copied();
        row.set(&name, value, kind)?;
        Ok(false)
    }
}

/// A row being put together against the columns known so far.
struct Row<'t, 'a> {
    rows: Option<&'t TableRows>,
    cells: Vec<Cell<'a>>,
    missing: Vec<(String, Kind)>,
    hint: usize,
}

impl<'t, 'a> Row<'t, 'a> {
    fn new(rows: Option<&'t TableRows>) -> Self {
        let width = rows.map_or(0, |rows| rows.columns().len());
        Self {
            rows,
            cells: vec![Cell::Unset; width],
            missing: Vec::new(),
            hint: 0,
        }
    }

    /// Sets a column; `kind` is the declared one, the table's own is checked against it.
    fn set(&mut self, name: &str, value: Value<'a>, kind: Option<Kind>) -> Result<(), Problem> {
        let at_column = |reason: String| Problem::Dead(format!("field '{name}': {reason}"));
        let Some((rows, at)) = self.rows.and_then(|r| Some((r, r.find(name, self.hint)?))) else {
            let Some(kind) = kind.or_else(|| Kind::infer(&value)) else {
                return Ok(());
            };
            if self.missing.iter().any(|(known, _)| known == name) {
                return Err(twice(name));
            }
            kind.convert(value).map_err(at_column)?;
            self.missing.push((name.to_owned(), kind));
            return Ok(());
        };
        self.hint = at + 1;
        if self.cells[at] != Cell::Unset {
            return Err(twice(name));
        }
        self.cells[at] = match rows.columns()[at].kind {
            Some(kind) => kind.convert(value).map_err(at_column)?,
            None if value == Value::Null => Cell::Null,
            None => {
                return Err(at_column(
                    "the column's type cannot be filled from JSON".into(),
                ));
            }
        };
        Ok(())
    }

    /// Sets the time column to the time of arrival.
    fn set_time(&mut self, name: &str, received: i64) -> Result<(), Problem> {
        let Some((rows, at)) = self.rows.and_then(|r| Some((r, r.find(name, 0)?))) else {
            self.missing.push((name.to_owned(), Kind::Timestamp));
            return Ok(());
        };
        if rows.columns()[at].kind != Some(Kind::Timestamp) {
            return Err(Problem::Dead(format!(
                "the time column '{name}' of the table is no timestamp"
            )));
        }
        self.cells[at] = Cell::Micros(received);
        Ok(())
    }

    /// The cells of the whole row.
    fn finish(self) -> Result<Vec<Cell<'a>>, Problem> {
        let columns = self.rows.map_or(&[][..], |rows| rows.columns());
        if columns.len() + self.missing.len() > MOST_COLUMNS {
            return Err(Problem::Dead(format!(
                "new fields would give the table more than {MOST_COLUMNS} columns"
            )));
        }
        if !self.missing.is_empty() {
            return Err(Problem::Columns(self.missing));
        }
        let unfilled = columns
            .iter()
            .zip(&self.cells)
            .find(|(column, cell)| column.required && matches!(cell, Cell::Unset | Cell::Null));
        match unfilled {
            Some((column, _)) => Err(Problem::Dead(format!(
                "field '{}' is required",
                column.name
            ))),
            None => Ok(self.cells),
        }
    }
}

fn twice(name: &str) -> Problem {
    Problem::Dead(format!("field '{name}' appears twice"))
}
