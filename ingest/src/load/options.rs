//! How files are to be read and what is to be made of them.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::delimiter::Delimiter;
use super::format::Format;
use super::text::Notation;
use super::time;

/// How files are to be read and what is to be made of them.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The format of all files; told by each file itself when absent.
    pub format: Option<Format>,
    /// The sheet of workbooks; their first when absent.
    pub sheet: Option<String>,
    /// The column rows are timed and partitioned by; the first with times when absent.
    pub time: Option<String>,
    /// The column a device is known by: sorted, and with a bloom filter.
    pub device: Option<String>,
    /// Types of columns that are not to be inferred.
    pub types: BTreeMap<String, Declared>,
    /// What separates the cells of CSV files.
    pub delimiter: Delimiter,
    /// Whether the first line of CSV files and sheets names the columns.
    pub header: bool,
    /// How numbers and absent values are written.
    pub notation: Notation,
    /// How a new table is split by time; chosen by how much there is when absent.
    pub partition: Option<Split>,
    /// Whether files are loaded that the table has already.
    pub again: bool,
}

impl Default for LoadOptions {
    /// Everything is told by the files.
    fn default() -> Self {
        Self {
            format: None,
            sheet: None,
            time: None,
            device: None,
            types: BTreeMap::new(),
            delimiter: Delimiter::Auto,
            header: true,
            notation: Notation::default(),
            partition: None,
            again: false,
        }
    }
}

/// What files of a new table are split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The day of the time column.
    Day,
    /// Its month.
    Month,
    /// Its year.
    Year,
    /// Nothing.
    None,
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            "year" => Ok(Self::Year),
            "none" => Ok(Self::None),
            _ => Err("give day, month, year or none".to_owned()),
        }
    }
}

/// The type a column is declared to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// True or false.
    Boolean,
    /// Integers of 32 bits.
    Int,
    /// Integers of 64 bits.
    Long,
    /// Numbers of single precision.
    Float,
    /// Numbers of double precision.
    Double,
    /// Text, as it stands in the file.
    String,
    /// Points in time; in this format of strftime if there is one.
    Timestamp(Option<String>),
    /// Days; in this format of strftime if there is one.
    Date(Option<String>),
}

impl FromStr for Declared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, format) = match text.split_once(':') {
            Some((name, format)) if time::is_format(format) => (name, Some(format.to_owned())),
            Some((_, format)) => {
                return Err(format!(
                    "{format:?} is no format of a time: write it as %d.%m.%Y %H:%M:%S"
                ));
            }
            None => (text, None),
        };
        match (name, format) {
            ("boolean", None) => Ok(Self::Boolean),
            ("int", None) => Ok(Self::Int),
            ("long", None) => Ok(Self::Long),
            ("float", None) => Ok(Self::Float),
            ("double", None) => Ok(Self::Double),
            ("string", None) => Ok(Self::String),
            ("timestamp", format) => Ok(Self::Timestamp(format)),
            ("date", format) => Ok(Self::Date(format)),
            _ => Err(
                "give boolean, int, long, float, double, string, timestamp or date, the \
                      last two also with a format, as date:%d.%m.%Y"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_declared_by_name_and_format() {
        let read = |text: &str| text.parse::<Declared>();
        assert_eq!(read("long"), Ok(Declared::Long));
        assert_eq!(read("date"), Ok(Declared::Date(None)));
        let german = Declared::Timestamp(Some("%d.%m.%Y %H:%M".into()));
        assert_eq!(read("timestamp:%d.%m.%Y %H:%M"), Ok(german));
        for wrong in ["", "number", "long:%d", "date:DD.MM.YYYY", "date:%Q"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
