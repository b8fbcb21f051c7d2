//! The columns of a load: the type each one gets, by the files, by what is declared, and by
//! the table that is there.

use arrow::datatypes::{DataType, TimeUnit};
use catalog::{Error, Key, Result};

use super::options::Declared;
use super::profile::{Misfit, Profile, Reading};

/// Zone of timestamp columns, as Iceberg's Arrow schemas spell it.
pub(super) const UTC: &str = "+00:00";

/// A column of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type its values are loaded as.
    pub data_type: DataType,
    /// What becomes of the table's column.
    pub standing: Standing,
    /// Rows without a value; unknown where a Parquet file does not tell.
    pub nulls: Option<u64>,
    /// A value of it, as it stands in the file.
    pub example: String,
    /// What else should be known of it.
    pub note: Option<String>,
    /// The format of times.
    pub(super) format: Option<String>,
}

/// How a column of a load stands to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The table has it already, or is made with it.
    There,
    /// The table gets it.
    Added,
    /// The table's column gets a wider type.
    Widened,
}

/// The table's column that values go to.
pub(super) struct Target<'t> {
    pub(super) key: &'t Key,
    pub(super) data_type: &'t DataType,
}

pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

impl Declared {
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Timestamp(_) => timestamp(),
            Self::Date(_) => DataType::Date32,
        }
    }
}

/// Settles the type of a column of `rows` rows. `is_time` says that rows are timed by it.
///
/// # Errors
/// `Conflict` naming file, line, column and value for one that the table or the declared type
/// does not take.
pub(super) fn settle(
    profile: &Profile,
    rows: u64,
    declared: Option<&Declared>,
    target: Option<&Target<'_>>,
    is_time: bool,
) -> Result<Column> {
    let format = match declared {
        Some(Declared::Timestamp(format) | Declared::Date(format)) => format.clone(),
        _ => None,
    };
    let (mut data_type, note) = match declared {
        Some(declared) => (declared.data_type(), None),
        None => inferred(profile, is_time, target.is_some()),
    };
    if is_time && !matches!(data_type, DataType::Timestamp(..) | DataType::Date32) {
        return Err(no_time(profile, &data_type));
    }
    let mut standing = Standing::There;
    if let Some(target) = target {
        let taken = taken(profile, declared, target)?;
        standing = taken.0;
        data_type = taken.1;
    } else if declared.is_some() {
        check(
            profile,
            &data_type,
            &format!("declared as {}", name(&data_type)),
        )?;
    }
    Ok(Column {
        name: profile.name.clone(),
        data_type,
        standing,
        nulls: Some(rows.saturating_sub(profile.values)),
        example: profile.example.clone(),
        note: note.filter(|_| target.is_none()),
        format,
    })
}

/// The type that the values have by themselves.
fn inferred(profile: &Profile, is_time: bool, there: bool) -> (DataType, Option<String>) {
    let note = |text: &str| Some(text.to_owned()).filter(|_| !there);
    if profile.values == 0 {
        return (DataType::Utf8, note("no values: kept as text"));
    }
    let number = profile.is(Reading::Long) || profile.is(Reading::Double);
    if is_time && number && !profile.huge {
        return (timestamp(), note("seconds or parts of them since 1970"));
    }
    if profile.is(Reading::Boolean) {
        return (DataType::Boolean, None);
    }
    if profile.is(Reading::Long) {
        return (DataType::Int64, None);
    }
    if profile.is(Reading::Double) && profile.huge && !profile.fractions {
        return (
            DataType::Utf8,
            note("integers beyond 64 bits: kept as text"),
        );
    }
    if profile.is(Reading::Double) {
        let rounded = profile.inexact || profile.huge;
        let rounded = rounded
            .then(|| note("large integers are rounded"))
            .flatten();
        return (DataType::Float64, rounded);
    }
    if profile.is(Reading::Date) {
        return (DataType::Date32, None);
    }
    if profile.is(Reading::Timestamp) {
        return (timestamp(), None);
    }
    let nested = profile
        .nested
        .then(|| note("objects and arrays: kept as JSON"));
    (DataType::Utf8, nested.flatten())
}

/// What the table's column becomes so that it takes the values.
fn taken(
    profile: &Profile,
    declared: Option<&Declared>,
    target: &Target<'_>,
) -> Result<(Standing, DataType)> {
    let is = target.data_type;
    let what = format!("{} in {}", name(is), target.key);
    if let Some(declared) = declared {
        let wanted = declared.data_type();
        let widened = widened(is, &wanted);
        if !same(is, &wanted) && widened.is_none() && !holds(is, &wanted) {
            return Err(Error::conflict(format!(
                "column {:?} is {what}, and declared as {}",
                profile.name,
                name(&wanted)
            ))
            .with_hint("declare the type that the table has, or load into another table"));
        }
        check(profile, &wanted, &format!("declared as {}", name(&wanted)))?;
        return Ok(match widened {
            Some(wider) => (Standing::Widened, wider),
            None => (Standing::There, is.clone()),
        });
    }
    if profile.values == 0 {
        return Ok((Standing::There, is.clone()));
    }
    let beyond_int = profile
        .longs
        .is_some_and(|(least, most)| i32::try_from(least).is_err() || i32::try_from(most).is_err());
    if *is == DataType::Int32 && profile.is(Reading::Long) && beyond_int {
        return Ok((Standing::Widened, DataType::Int64));
    }
    check(profile, is, &what)?;
    check_digits(profile, is, &what)?;
    Ok((Standing::There, is.clone()))
}

/// Refuses integers that the table's column would round, unless that was declared.
fn check_digits(profile: &Profile, is: &DataType, what: &str) -> Result<()> {
    let [double, float] = &profile.rounded;
    let rounded = match is {
        DataType::Float64 => double,
        DataType::Float32 => float,
        _ => return Ok(()),
    };
    let Some(misfit) = rounded else {
        return Ok(());
    };
    let (name, is) = (&profile.name, self::name(is));
    Err(Error::conflict(format!(
        "{}: column {name:?} is {what}, which would round {:?}",
        misfit.place,
        shorten(&misfit.value)
    ))
    .with_hint(format!(
        "--type '{name}={is}' rounds it; another column or table keeps all digits"
    )))
}

/// Refuses a column of which a cell does not fit `data_type`, which is `what`.
fn check(profile: &Profile, data_type: &DataType, what: &str) -> Result<()> {
    let readings: &[Reading] = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => return Ok(()),
        DataType::Boolean => &[Reading::Boolean],
        DataType::Int32 | DataType::Int64 => &[Reading::Long],
        DataType::Float32 | DataType::Float64 => &[Reading::Double],
        DataType::Timestamp(TimeUnit::Microsecond, _) => &[Reading::Timestamp, Reading::Double],
        DataType::Date32 => &[Reading::Date],
        other => {
            return Err(Error::unsupported(format!(
                "column {:?} is {what}, which is filled from Parquet files only",
                profile.name
            ))
            .with_hint(format!(
                "leave the column out, or load a file that has it as {other}"
            )));
        }
    };
    if profile.values == 0 || readings.iter().any(|reading| profile.is(*reading)) {
        return Ok(());
    }
    let misfits = readings
        .iter()
        .filter_map(|reading| profile.misfit(*reading));
    // The later one is where the last way to read the column ended.
    match misfits.max_by_key(|misfit| misfit.nth) {
        Some(misfit) => Err(clash(&profile.name, misfit, what)),
        None => Err(Error::internal(
            "a column fits nothing, and no cell says why",
        )),
    }
}

fn clash(column: &str, misfit: &Misfit, what: &str) -> Error {
    let value = shorten(&misfit.value);
    Error::conflict(format!(
        "{}: column {column:?} is {what} and cannot take {value:?}",
        misfit.place
    ))
    .with_hint("mend the value; if it stands for no value, name it with --null")
}

fn no_time(profile: &Profile, data_type: &DataType) -> Error {
    let misfit = profile.misfit(Reading::Timestamp);
    let place = misfit.map(|misfit| format!("{}: ", misfit.place));
    let value = misfit.map(|misfit| format!(", as {:?}", shorten(&misfit.value)));
    Error::invalid(format!(
        "{}column {:?} holds no times but {} values{}",
        place.unwrap_or_default(),
        profile.name,
        name(data_type),
        value.unwrap_or_default()
    ))
    .with_hint(
        "name another column with --time, or give its format: \
         --type 'COLUMN=timestamp:%d.%m.%Y %H:%M:%S'",
    )
}

/// A text short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn same(a: &DataType, b: &DataType) -> bool {
    use DataType::Timestamp;
    a == b || matches!((a, b), (Timestamp(..), Timestamp(..)))
}

/// Whether a column of type `table` takes values of type `from` as it is.
fn holds(table: &DataType, from: &DataType) -> bool {
    use DataType::{Float32, Float64, Int32, Int64};
    matches!(
        (table, from),
        (Int64 | Float64, Int32) | (Float64, Float32 | Int64) | (Float32, Float64)
    )
}

/// The type a table's column widens to, so that it takes values of type `to`.
pub(super) fn widened(from: &DataType, to: &DataType) -> Option<DataType> {
    match (from, to) {
        (DataType::Int32, DataType::Int64) => Some(DataType::Int64),
        _ => None,
    }
}

/// A type as people name it.
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::LargeUtf8 => "string".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp".into(),
        DataType::Timestamp(_, None) => "timestamp without zone".into(),
        DataType::Date32 => "date".into(),
        DataType::Time64(_) => "time".into(),
        DataType::Binary | DataType::LargeBinary => "binary".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string().to_lowercase(),
    }
}
