//! How a table's files are laid out: chosen for a new one, described for one that is there.

use std::fmt;

use arrow::datatypes::DataType;
use chrono::{DateTime, Datelike};
use lake::{PartitionField, TableMetadata, Transform};

use super::column::Column;
use super::options::Split;
use super::time;

/// Partitions a load may make however little there is in them.
const FEW: u64 = 31;
/// Bytes of the files that make a further partition worth it.
const PARTITION_BYTES: u64 = 16 << 20;

/// How a table's files are laid out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// What files are split by.
    pub partition: Vec<PartitionField>,
    /// What their rows are sorted by.
    pub sort: Vec<String>,
    /// Columns with a bloom filter.
    pub bloom: Vec<String>,
    /// Files that a load makes at least, where that can be told.
    pub partitions: Option<u64>,
}

impl Layout {
    /// The layout of a new table: by `time` and `device`, of which `times` is the range.
    pub(super) fn choose(
        time: Option<&str>,
        device: Option<&str>,
        times: Option<(i64, i64)>,
        wanted: Option<Split>,
        bytes: u64,
    ) -> Self {
        let split = match (time, times) {
            (None, _) => Split::None,
            (Some(_), None) => wanted.unwrap_or(Split::Day),
            (Some(_), Some(times)) => wanted.unwrap_or_else(|| fitting(times, bytes)),
        };
        let transform = match split {
            Split::Day => Some(Transform::Day),
            Split::Month => Some(Transform::Month),
            Split::Year => Some(Transform::Year),
            Split::None => None,
        };
        let field = time.zip(transform);
        Self {
            partition: field
                .map(|(time, transform)| PartitionField::new(time, transform))
                .into_iter()
                .collect(),
            sort: device.into_iter().chain(time).map(str::to_owned).collect(),
            bloom: device.map(str::to_owned).into_iter().collect(),
            partitions: times.map(|times| count(split, times)),
        }
    }

    /// The layout of a table that is there.
    pub(super) fn of(metadata: &TableMetadata) -> Self {
        let schema = metadata.current_schema();
        let name = |id: i32| schema.name_by_field_id(id).unwrap_or("?").to_owned();
        let fields = metadata.default_partition_spec().fields().iter();
        let partition = fields
            .filter(|field| field.transform != Transform::Void)
            .map(|field| PartitionField::new(name(field.source_id), field.transform));
        let sort = metadata.default_sort_order().fields.iter();
        Self {
            partition: partition.collect(),
            sort: sort.map(|field| name(field.source_id)).collect(),
            bloom: Vec::new(),
            partitions: None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partition: Vec<_> = self.partition.iter().map(ToString::to_string).collect();
        match partition.is_empty() {
            true => f.write_str("not partitioned")?,
            false => write!(f, "partitioned by {}", partition.join(", "))?,
        }
        match self.sort.is_empty() {
            true => f.write_str(", not sorted"),
            false => write!(f, ", sorted by {}", self.sort.join(", ")),
        }
    }
}

/// The finest split whose partitions are worth it.
fn fitting(times: (i64, i64), bytes: u64) -> Split {
    let most = FEW.max(bytes / PARTITION_BYTES);
    let splits = [Split::Day, Split::Month, Split::Year];
    let mut fitting = splits
        .into_iter()
        .filter(|split| count(*split, times) <= most);
    fitting.next().unwrap_or(Split::None)
}

/// Partitions between two times.
fn count(split: Split, (least, most): (i64, i64)) -> u64 {
    let unit = |micros: i64| {
        let date = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        match split {
            Split::Day => i64::from(time::day_of(micros)),
            Split::Month => i64::from(date.year()) * 12 + i64::from(date.month0()),
            Split::Year => i64::from(date.year()),
            Split::None => 0,
        }
    };
    unit(most).abs_diff(unit(least)) + 1
}

/// The column that rows are timed by when none is named: the first that holds times, else
/// the first that holds days.
pub(super) fn time_column(columns: &[Column]) -> Option<&str> {
    let first = |wanted: fn(&DataType) -> bool| {
        let mut columns = columns.iter();
        columns.find(|column| wanted(&column.data_type))
    };
    let found = first(|data_type| matches!(data_type, DataType::Timestamp(..)));
    let found = found.or_else(|| first(|data_type| *data_type == DataType::Date32));
    found.map(|column| column.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_partition_is_worth_its_files() {
        let small = 1 << 20;
        assert_eq!(fitting((0, 30 * DAY), small), Split::Day);
        assert_eq!(fitting((0, 31 * DAY), small), Split::Month);
        assert_eq!(fitting((0, 700 * DAY), small), Split::Month);
        assert_eq!(fitting((0, 4000 * DAY), small), Split::Year);
        assert_eq!(fitting((0, 40_000 * DAY), small), Split::None);
        assert_eq!(fitting((0, 700 * DAY), 20 << 30), Split::Day);
        assert_eq!(count(Split::Year, (-DAY, DAY)), 2);
    }

    #[test]
    fn the_layout_reads_as_a_sentence() {
        let layout = Layout::choose(Some("ts"), Some("pump"), Some((0, 1)), None, 1);
        assert_eq!(
            layout.to_string(),
            "partitioned by day(ts), sorted by pump, ts"
        );
        assert_eq!(Layout::default().to_string(), "not partitioned, not sorted");
        let none = Layout::choose(Some("ts"), None, Some((0, 1)), Some(Split::None), 1);
        assert_eq!(none.to_string(), "not partitioned, sorted by ts");
    }
}
