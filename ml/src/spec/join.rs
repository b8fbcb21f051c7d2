//! `[[dataset.join]]`: what another table said at the time of each row.
use catalog::{Key, Result};
use serde::{Deserialize, Serialize};

use super::{invalid, span::Span};

/// Columns of another table as they were known at the time of each row: of the rows with the
/// same values of `on`, the latest one that had happened and was known by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSpec {
    /// The table.
    pub table: Key,
    /// Columns that both sides have, such as the pump.
    pub on: Vec<String>,
    /// The table's column that says when something happened.
    pub time: String,
    /// The columns taken.
    pub columns: Vec<String>,
    /// What the taken columns' names begin with in the data set.
    #[serde(default)]
    pub prefix: String,
    /// When a row counts as known.
    #[serde(default)]
    pub known: Known,
    /// The column that says so, of the kind `column`.
    pub known_column: Option<String>,
    /// How much later than its time a row may be known, and still count as known in time: what
    /// a flush takes, say.
    #[serde(default)]
    pub delay: Span,
    /// What happened longer ago is left out.
    pub tolerance: Option<Span>,
}

/// When a row of a joined table counts as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// When it was committed: what was corrected later is not seen.
    #[default]
    Commit,
    /// When it happened: for history that was loaded later.
    Event,
    /// When a column of the table says.
    Column,
}

impl JoinSpec {
    pub(super) fn check(&self, time: Option<&str>) -> Result<()> {
        let table = &self.table;
        if time.is_none() {
            return Err(invalid(format!(
                "dataset.time is missing: {table} is joined by the time of each row"
            )));
        }
        for (field, names) in [("on", &self.on), ("columns", &self.columns)] {
            if names.is_empty() {
                return Err(invalid(format!(
                    "dataset.join of {table} names no column in {field}"
                )));
            }
        }
        if (self.known == Known::Column) != self.known_column.is_some() {
            return Err(invalid(format!(
                "dataset.join of {table} needs known = \"column\" together with known_column"
            )));
        }
        Ok(())
    }
}
