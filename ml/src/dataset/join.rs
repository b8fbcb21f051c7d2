//! Point-in-time joins: to each row what another table said then.
//!
//! A row of the other table is seen where its event time is not after the row's, and where it was
//! known by then: so a correction that came later does not leak into what is learned. Of several
//! for the same event the one known last, but in time, holds.
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use catalog::{Error, Result, Snapshot};
use futures::TryStreamExt;
use lake::Lake;

use crate::spec::{JoinSpec, Known};

/// The joins of a data set, ready to be made.
pub(super) struct Joins {
    joins: Vec<Join>,
    /// The columns of joined rows.
    pub(super) schema: SchemaRef,
}

impl Joins {
    /// Reads the tables that rows with the columns `rows` are joined to.
    ///
    /// # Errors
    /// `NotFound` for a table that is not at this commit, `InvalidInput` for columns that are
    /// not there, do not go together, or take a name twice.
    pub(super) async fn read(
        lake: &Lake,
        snapshot: &Snapshot,
        (specs, time): (&[JoinSpec], Option<&str>),
        rows: &SchemaRef,
    ) -> Result<Joins> {
        let time = time.unwrap_or_default();
        let (mut joins, mut schema) = (Vec::new(), Arc::clone(rows));
        for join in specs {
            let context = |e: Error| e.context(format!("dataset.join of {}", join.table));
            let other = read(lake, snapshot, join).await.map_err(context)?;
            let join = Join::new(join.clone(), time.to_owned(), &schema, other).map_err(context)?;
            schema = Arc::clone(&join.schema);
            joins.push(join);
        }
        Ok(Joins { joins, schema })
    }

    /// `rows` with the columns of all joins at the end.
    ///
    /// # Errors
    /// `InvalidInput` for rows whose time is no time.
    pub(super) fn add(&self, rows: RecordBatch) -> Result<RecordBatch> {
        self.joins.iter().try_fold(rows, |rows, join| {
            let joined = join.add(&rows);
            joined.map_err(|e| e.context(format!("dataset.join of {}", join.spec.table)))
        })
    }
}

/// The other table: its key columns, the time of the event, the time it was known, and last the
/// columns that are taken.
struct Other {
    keys: Vec<ArrayRef>,
    events: Vec<Option<i64>>,
    known: Vec<Option<i64>>,
    taken: Vec<(Arc<Field>, ArrayRef)>,
}

async fn read(lake: &Lake, snapshot: &Snapshot, join: &JoinSpec) -> Result<Other> {
    let table = lake.table(snapshot, &join.table).await?;
    let named = join.on.iter().chain([&join.time]).chain(&join.known_column);
    let mut names: Vec<&str> = named.chain(&join.columns).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let batches = lake.rows_with_times(&table, &names).await?;
    let batches: Vec<RecordBatch> = batches.try_collect().await?;
    let Some(first) = batches.first() else {
        return Err(Error::invalid(format!("table {} is empty", join.table)));
    };
    let all = concat_batches(first.schema_ref(), &batches).map_err(unfit)?;
    let column = |name: &str| {
        let column = all.column_by_name(name).cloned();
        column.ok_or_else(|| Error::internal(format!("column '{name}' was not read")))
    };
    let events = micros(&column(&join.time)?, &join.time)?;
    let known = match (&join.known_column, join.known) {
        (Some(name), Known::Column) => micros(&column(name)?, name)?,
        (_, Known::Event) => events.clone(),
        _ => micros(&column(lake::COMMITTED_AT)?, lake::COMMITTED_AT)?,
    };
    let taken = join.columns.iter().map(|name| {
        let (_, field) = all
            .schema_ref()
            .column_with_name(name)
            .ok_or_else(|| Error::internal(format!("column '{name}' was not read")))?;
        let name_here = format!("{}{name}", join.prefix);
        let field = Field::new(name_here, field.data_type().clone(), true);
        Ok((Arc::new(field), column(name)?))
    });
    Ok(Other {
        keys: join
            .on
            .iter()
            .map(|name| column(name))
            .collect::<Result<_>>()?,
        events,
        known,
        taken: taken.collect::<Result<_>>()?,
    })
}

/// Microseconds since 1970 of a column of times.
fn micros(column: &ArrayRef, name: &str) -> Result<Vec<Option<i64>>> {
    let wrong = || {
        Error::invalid(format!(
            "column '{name}' is {}, and no time",
            column.data_type()
        ))
    };
    if !column.data_type().is_temporal() {
        return Err(wrong());
    }
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let times = cast(column, &utc).map_err(|e| wrong().with_source(e))?;
    Ok(times
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .collect())
}

fn unfit(error: arrow::error::ArrowError) -> Error {
    Error::invalid("the rows of the table do not go together").with_source(error)
}

/// One join.
struct Join {
    spec: JoinSpec,
    /// The rows' column of times.
    time: String,
    converter: RowConverter,
    histories: HashMap<Box<[u8]>, History>,
    taken: Vec<ArrayRef>,
    schema: SchemaRef,
}

impl Join {
    fn new(spec: JoinSpec, time: String, rows: &Schema, other: Other) -> Result<Join> {
        let mut types = Vec::with_capacity(spec.on.len());
        for name in &spec.on {
            types.push(position(rows, name).map(|at| rows.field(at).data_type().clone())?);
        }
        let mut keys = Vec::with_capacity(types.len());
        for ((theirs, own), name) in other.keys.iter().zip(&types).zip(&spec.on) {
            keys.push(cast(theirs, own).map_err(|e| {
                Error::invalid(format!(
                    "column '{name}' is {own} in the data set and {} in the table",
                    theirs.data_type()
                ))
                .with_source(e)
            })?);
        }
        let fields = types.into_iter().map(SortField::new).collect();
        let converter = RowConverter::new(fields).map_err(unfit)?;
        let keys = converter.convert_columns(&keys).map_err(unfit)?;
        position(rows, &time)?;
        let mut fields = rows.fields().to_vec();
        for (field, _) in &other.taken {
            if fields.iter().any(|there| there.name() == field.name()) {
                return Err(Error::invalid(format!(
                    "the data set would have two columns named '{}'",
                    field.name()
                ))
                .with_hint("give the joined columns a `prefix`"));
            }
            fields.push(Arc::clone(field));
        }
        Ok(Join {
            histories: histories(&keys, &other),
            taken: other.taken.into_iter().map(|(_, values)| values).collect(),
            schema: Arc::new(Schema::new(fields)),
            spec,
            time,
            converter,
        })
    }

    fn add(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let column = |name: &str| Ok(rows.column(position(rows.schema_ref(), name)?));
        let times = micros(column(&self.time)?, &self.time)?;
        let keys = self.spec.on.iter().map(|name| column(name).cloned());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let keys = self.converter.convert_columns(&keys).map_err(unfit)?;
        let found = times.iter().zip(keys.iter()).map(|(at, key)| {
            let history = self.histories.get(key.as_ref())?;
            history.at((*at)?, &self.spec)
        });
        let found: UInt32Array = found.collect();
        let mut columns = rows.columns().to_vec();
        for values in &self.taken {
            columns.push(take(values, &found, None).map_err(unfit)?);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(unfit)
    }
}

fn position(rows: &Schema, name: &str) -> Result<usize> {
    rows.index_of(name).map_err(|_| {
        Error::invalid(format!("the data set has no column '{name}'"))
            .with_hint("select it in dataset.sql, and exclude it if it is no feature")
    })
}

/// What is told of one key, in the order of the events, and of the knowledge of each.
#[derive(Default)]
struct History {
    /// Event time, time it was known, row.
    entries: Vec<(i64, i64, u32)>,
    /// The earliest time at which any entry up to this one was known.
    first_known: Vec<i64>,
}

fn histories(keys: &Rows, other: &Other) -> HashMap<Box<[u8]>, History> {
    let mut histories: HashMap<Box<[u8]>, History> = HashMap::new();
    let times = other.events.iter().zip(&other.known);
    for (row, (event, known)) in (0..).zip(times) {
        if let (Some(event), Some(known)) = (event, known) {
            let key = keys.row(row as usize);
            let history = histories.entry(key.as_ref().into()).or_default();
            history.entries.push((*event, *known, row));
        }
    }
    for history in histories.values_mut() {
        history.entries.sort_unstable();
        let mut least = i64::MAX;
        let firsts = history.entries.iter().map(|(_, known, _)| {
            least = least.min(*known);
            least
        });
        history.first_known = firsts.collect();
    }
    histories
}

impl History {
    /// The row that told the latest event by `time`, of what was known then.
    fn at(&self, time: i64, join: &JoinSpec) -> Option<u32> {
        let known_by = time.saturating_add(join.delay.micros());
        let oldest = join.tolerance.map(|t| time.saturating_sub(t.micros()));
        let end = self.entries.partition_point(|(event, _, _)| *event <= time);
        for place in (0..end).rev() {
            let (event, known, row) = self.entries[place];
            if oldest.is_some_and(|oldest| event < oldest) || self.first_known[place] > known_by {
                return None;
            }
            if known <= known_by {
                return Some(row);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    fn spec(more: &str) -> JoinSpec {
        let text =
            format!("table = 'plant.wear'\non = ['pump']\ntime = 'at'\ncolumns = ['wear']\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn times(micros: impl IntoIterator<Item = i64>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros))
    }

    fn base(rows: &[(&str, i64)]) -> RecordBatch {
        let pumps: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0)));
        let at = times(rows.iter().map(|r| r.1));
        RecordBatch::try_from_iter([("pump", pumps), ("ts", at)]).unwrap()
    }

    /// Rows of pump, event time, time known, value.
    fn other(rows: &[(&str, i64, i64, f64)]) -> Other {
        let values = Float64Array::from_iter_values(rows.iter().map(|r| r.3));
        let field = Field::new("wear", DataType::Float64, true);
        Other {
            keys: vec![Arc::new(StringArray::from_iter_values(
                rows.iter().map(|r| r.0),
            ))],
            events: rows.iter().map(|r| Some(r.1)).collect(),
            known: rows.iter().map(|r| Some(r.2)).collect(),
            taken: vec![(Arc::new(field), Arc::new(values))],
        }
    }

    fn add(rows: &RecordBatch, time: &str, more: &str, other: Other) -> Result<RecordBatch> {
        let spec = spec(more);
        let named = |(_, values)| {
            let name = format!("{}wear", spec.prefix);
            (Arc::new(Field::new(name, DataType::Float64, true)), values)
        };
        let taken = other.taken.into_iter().map(named).collect();
        let other = Other { taken, ..other };
        Join::new(spec, time.to_owned(), rows.schema_ref(), other)?.add(rows)
    }

    fn join(
        base_rows: &[(&str, i64)],
        rows: &[(&str, i64, i64, f64)],
        more: &str,
    ) -> Vec<Option<f64>> {
        let joined = add(&base(base_rows), "ts", more, other(rows)).unwrap();
        let column = joined.column_by_name("wear").unwrap();
        let column = column.as_primitive::<arrow::datatypes::Float64Type>();
        column.iter().collect()
    }

    #[test]
    fn a_late_correction_does_not_leak() {
        let wear = [("a", 10, 11, 1.0), ("a", 10, 25, 9.0), ("a", 20, 40, 2.0)];
        let rows = [
            ("a", 9),
            ("a", 10),
            ("a", 11),
            ("a", 24),
            ("a", 30),
            ("a", 40),
            ("b", 40),
        ];
        let seen = [None, None, Some(1.0), Some(1.0), Some(9.0), Some(2.0), None];
        assert_eq!(join(&rows, &wear, ""), seen);
    }

    #[test]
    fn a_delay_is_borne_and_what_is_old_is_left_out() {
        let wear = [("a", 10_000, 2_010_000, 1.0)];
        assert_eq!(join(&[("a", 20_000)], &wear, "delay = '2s'"), [Some(1.0)]);
        assert_eq!(
            join(&[("a", 9_000)], &wear, "delay = '9d'"),
            [None],
            "not yet happened"
        );
        let rows = [("a", 1_010_000), ("a", 1_010_001)];
        let wear = [("a", 10_000, 10_000, 1.0)];
        let seen = join(&rows, &wear, "tolerance = '1s'");
        assert_eq!(seen, [Some(1.0), None]);
    }

    #[test]
    fn names_are_kept_apart() {
        let rows = base(&[("a", 1)]);
        let once = add(&rows, "ts", "", other(&[("a", 0, 0, 1.0)])).unwrap();
        let twice = add(&once, "ts", "", other(&[("a", 0, 0, 1.0)]));
        assert!(twice.unwrap_err().hint().unwrap().contains("prefix"));
        let again = add(&once, "ts", "prefix = 'old_'", other(&[])).unwrap();
        assert_eq!(again.schema().field(3).name(), "old_wear");
        let error = add(&rows, "when", "", other(&[])).unwrap_err();
        assert!(error.message().contains("'when'"), "{error}");
    }

    proptest! {
        /// The plainest way: of all that qualify, the one with the greatest times.
        #[test]
        fn the_same_as_looking_at_every_row(
            wear in prop::collection::vec((0..2_usize, 0..20_i64, 0..40_i64), 0..40),
            rows in prop::collection::vec((0..2_usize, 0..30_i64), 0..20),
        ) {
            let pumps = ["a", "b"];
            let wear: Vec<_> = wear.iter().enumerate()
                .map(|(n, (pump, event, known))| (pumps[*pump], *event, *known, n as f64))
                .collect();
            let rows: Vec<_> = rows.iter().map(|(pump, at)| (pumps[*pump], *at)).collect();
            let expected: Vec<Option<f64>> = rows.iter().map(|(pump, at)| {
                let seen = wear.iter().filter(|w| w.0 == *pump && w.1 <= *at && w.2 <= *at);
                seen.max_by_key(|w| (w.1, w.2, w.3 as i64)).map(|w| w.3)
            }).collect();
            prop_assert_eq!(join(&rows, &wear, ""), expected);
        }
    }
}
