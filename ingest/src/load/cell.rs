//! What a file's cell holds, before its column has a type.

use std::borrow::Cow;

use catalog::Result;

/// The value of one cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number with a fraction, or an integer that no `long` holds.
    Float(f64),
    /// Text that may mean anything, as in CSV.
    Open(Cow<'a, str>),
    /// Text that was marked as text, as in JSON: nothing but a time is read out of it.
    Text(Cow<'a, str>),
    /// A point in time: microseconds since the epoch.
    Micros(i64),
    /// An object or array as JSON.
    Nested(String),
}

/// One row of a file.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The line (or, in a sheet, the row) of the file, counted from 1.
    pub(super) at: u64,
    /// The columns met so far in this file; later rows may bring more at the end.
    pub(super) names: &'a [String],
    /// A cell for each of them.
    pub(super) cells: &'a [Cell<'a>],
}

/// Takes the rows of a file, one after the other.
pub(super) trait Sink {
    /// Takes a row; an error ends the reading.
    fn row(&mut self, row: &Row<'_>) -> Result<()>;
}

impl Cell<'_> {
    /// Bytes of its text.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Open(text) | Self::Text(text) => text.len(),
            Self::Nested(json) => json.len(),
            _ => 0,
        }
    }

    /// The cell as people would write it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Open(text) | Self::Text(text) => text.clone().into_owned(),
            Self::Micros(micros) => super::time::to_text(*micros),
            Self::Nested(json) => json.clone(),
        }
    }
}
