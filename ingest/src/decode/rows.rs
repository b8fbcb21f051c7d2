//! The rows of one message, put together against the columns known so far: all of them or none.

use std::borrow::Cow;

use super::convert::{Cell, Misfit, Room};
use super::kind::{Column, Kind, MOST_NAME_BYTES};
use super::table::TableRows;
use super::value::{Value, shorten};

/// Columns of plain values, those in structs among them, that a table may have before new fields
/// are refused, so that field names made from data cannot grow a table without end.
pub(super) const MOST_COLUMNS: usize = 1_000;
/// Bytes that the cells of one message may take.
const MOST_BYTES: usize = 128 << 20;

/// Why a message is not rows yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It never will be: the reason.
    Dead(String),
    /// The table lacks these columns, or fields or width of them (all columns when there is no table
    /// yet).
    Columns(Vec<Column>),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Dead(reason)
    }
}

/// The whole rows of a message.
pub(super) struct Cells<'a> {
    /// A cell for each column, row after row.
    pub(super) cells: Vec<Cell<'a>>,
    /// Bytes they take, more or less.
    pub(super) bytes: usize,
}

/// Rows being put together.
pub(super) struct Rows<'t, 'a> {
    table: Option<&'t TableRows>,
    cells: Vec<Cell<'a>>,
    /// Where in `cells` the row begins that is being filled.
    start: usize,
    count: usize,
    missing: Vec<Missing>,
    hint: usize,
    room: Room,
}

/// A column the table lacks, and the last row that asked for it.
struct Missing {
    column: Column,
    row: usize,
}

impl<'t, 'a> Rows<'t, 'a> {
    pub(super) fn new(table: Option<&'t TableRows>) -> Self {
        Self {
            table,
            cells: Vec::new(),
            start: 0,
            count: 0,
            missing: Vec::new(),
            hint: 0,
            room: Room(MOST_BYTES),
        }
    }

    /// Begins a row, which will hold `text` bytes that are not of the payload.
    pub(super) fn begin(&mut self, text: usize) -> Result<(), Problem> {
        let columns = self.table.map_or(&[][..], TableRows::columns);
        self.room.take(1, self.table.map_or(1, TableRows::leaves))?;
        self.room.take_bytes(text)?;
        self.start = self.cells.len();
        self.cells.resize(self.start + columns.len(), Cell::Unset);
        self.count += 1;
        self.hint = 0;
        Ok(())
    }

    /// Sets a column of the row; `kind` is the declared one, or the one the payload gives. The
    /// table's own is what the value becomes.
    pub(super) fn set(
        &mut self,
        name: &str,
        value: Value<'a>,
        kind: Option<&Kind>,
    ) -> Result<(), Problem> {
        let found = self.table.and_then(|t| Some((t, t.find(name, self.hint)?)));
        let Some((table, at)) = found else {
            return self.set_missing(name, value, kind);
        };
        self.hint = at + 1;
        let cell = &mut self.cells[self.start + at];
        if *cell != Cell::Unset {
            return Err(twice(name));
        }
        let Some(has) = &table.columns()[at].kind else {
            if value == Value::Null {
                *cell = Cell::Null;
                return Ok(());
            }
            let reason = "the column's type cannot be filled from payloads".to_owned();
            return Err(at_field(name, "", &reason));
        };
        if let Some(wanted) = kind.filter(|wanted| wanted.exceeds(has)) {
            return self.miss(name, wanted.clone());
        }
        match has.convert(value, &mut self.room) {
            Ok(converted) => {
                *cell = converted;
                Ok(())
            }
            Err(misfit) => {
                let lacking = lacking(name, *misfit, kind)?;
                self.miss(name, lacking)
            }
        }
    }

    /// Notes a column that the table lacks, unless the value does not tell its type.
    fn set_missing(
        &mut self,
        name: &str,
        value: Value<'a>,
        declared: Option<&Kind>,
    ) -> Result<(), Problem> {
        let inferred = || Kind::infer(&value).map(Cow::Owned);
        let Some(kind) = declared.map(Cow::Borrowed).or_else(inferred) else {
            return Ok(());
        };
        let kind = match kind.convert(value, &mut self.room) {
            Ok(_) => kind.into_owned(),
            Err(misfit) => {
                let more = lacking(name, *misfit, declared)?;
                let both = kind.into_owned().union(more);
                both.ok_or_else(|| clash(name))?
            }
        };
        self.miss(name, kind)
    }

    fn miss(&mut self, name: &str, kind: Kind) -> Result<(), Problem> {
        let row = self.count;
        if self.missing.len() > MOST_COLUMNS {
            return Err(too_many());
        }
        if name.len() > MOST_NAME_BYTES {
            let reason = format!("a column's name has at most {MOST_NAME_BYTES} bytes");
            return Err(at_field(name, "", &reason));
        }
        match self.missing.iter_mut().find(|m| m.column.name == name) {
            None => self.missing.push(Missing {
                column: Column::new(name, kind),
                row,
            }),
            Some(known) if known.row == row => return Err(twice(name)),
            Some(known) => {
                let both = known.column.kind.take().and_then(|it| it.union(kind));
                known.column.kind = Some(both.ok_or_else(|| clash(name))?);
                known.row = row;
            }
        }
        Ok(())
    }

    /// Sets the time column of the row to the time of arrival.
    pub(super) fn set_time(&mut self, name: &str, received: i64) -> Result<(), Problem> {
        let Some((table, at)) = self.table.and_then(|t| Some((t, t.find(name, 0)?))) else {
            return self.miss(name, Kind::Timestamp);
        };
        if table.columns()[at].kind != Some(Kind::Timestamp) {
            return Err(Problem::Dead(format!(
                "the time column '{name}' of the table is no timestamp"
            )));
        }
        self.cells[self.start + at] = Cell::Micros(received);
        Ok(())
    }

    /// Ends the row.
    pub(super) fn end(&mut self) -> Result<(), Problem> {
        if !self.missing.is_empty() {
            return Ok(());
        }
        let columns = self.table.map_or(&[][..], TableRows::columns);
        let unfilled = columns
            .iter()
            .zip(&self.cells[self.start..])
            .find(|(column, cell)| column.required && matches!(cell, Cell::Unset | Cell::Null));
        match unfilled {
            Some((column, _)) => Err(Problem::Dead(format!(
                "field '{}' is required",
                shorten(&column.name)
            ))),
            None => Ok(()),
        }
    }

    /// The cells of all rows.
    pub(super) fn finish(self) -> Result<Cells<'a>, Problem> {
        if self.count == 0 {
            return Err(Problem::Dead("the payload holds no rows".into()));
        }
        if !self.missing.is_empty() {
            let new: usize = self.missing.iter().map(|m| m.column.leaves()).sum();
            if new + self.table.map_or(0, TableRows::leaves) > MOST_COLUMNS {
                return Err(too_many());
            }
            let columns = self.missing.into_iter().map(|m| m.column).collect();
            return Err(Problem::Columns(columns));
        }
        if self.table.is_none() {
            return Err(Problem::Columns(Vec::new()));
        }
        Ok(Cells {
            cells: self.cells,
            bytes: MOST_BYTES - self.room.0,
        })
    }
}

/// What the column would have to be for a value that did not fit it.
fn lacking(name: &str, misfit: Misfit, declared: Option<&Kind>) -> Result<Kind, Problem> {
    match misfit {
        Misfit::Never { path, reason } => Err(at_field(name, &path, &reason)),
        Misfit::Lacks(kind) => match declared.filter(|declared| declared.forbids(&kind)) {
            None => Ok(kind),
            Some(declared) => {
                let reason = format!("the value does not fit the declared {}", declared.name());
                Err(at_field(name, "", &reason))
            }
        },
    }
}

fn at_field(name: &str, path: &str, reason: &str) -> Problem {
    Problem::Dead(format!("field '{}{path}': {reason}", shorten(name)))
}

fn twice(name: &str) -> Problem {
    Problem::Dead(format!("field '{}' appears twice", shorten(name)))
}

fn clash(name: &str) -> Problem {
    Problem::Dead(format!(
        "field '{}': its values clash in type",
        shorten(name)
    ))
}

fn too_many() -> Problem {
    Problem::Dead(format!(
        "new fields would give the table more than {MOST_COLUMNS} columns"
    ))
}
