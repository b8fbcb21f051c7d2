//! Retention: rows older than a table keeps them go, file by file.
//!
//! A file whose rows are all too old leaves the table by its manifest alone. A file that
//! holds younger rows too stays until those are too old as well, so with partitions by day
//! rows live up to a day longer; asked to be exact, such files are rewritten.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Date32Type, Schema, TimestampMicrosecondType};
use catalog::{CommitMeta, Error, ErrorKind, Key, Result};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use iceberg::spec::{
    Literal, NestedFieldRef, Operation as SnapshotKind, PrimitiveLiteral, PrimitiveType,
    TableMetadata, Transform, Type,
};

use super::rewrite::rewrite;
use super::{CompactOptions, commit_meta};
use crate::lake::Lake;
use crate::read::{Gone, Reader};
use crate::stage::{Rewrite, RewriteKind};
use crate::table::{ScanFile, Table};

/// Table property: how long rows are kept, by their own time; see [`parse_age`].
pub const RETAIN: &str = "pumphouse.retain";

const MICROS_AN_HOUR: i64 = 3_600_000_000;
const MICROS_A_DAY: i64 = 24 * MICROS_AN_HOUR;
/// Tries against others who change the same files.
const MOST_TRIES: usize = 5;

/// Which rows a retention takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetainOptions {
    /// Rows older than this go, whatever the table's property says, which counts without it.
    pub older_than: Option<Duration>,
    /// Files that hold younger rows too are rewritten.
    pub exact: bool,
}

/// What a retention removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetainReport {
    /// Files that went as a whole.
    pub files: u64,
    /// Files rewritten without their old rows.
    pub rewritten: u64,
    /// Rows removed; of files that went, those that deletes had taken out already count too.
    pub rows: u64,
    /// The size of the files that went as a whole.
    pub bytes: u64,
}

/// An age as [`RETAIN`] holds it: seconds, or a number with `s`, `m`, `h` or `d`, such as
/// `90d`; none for anything else and for 0.
pub fn parse_age(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.as_bytes().last()),
        None => (text, None),
    };
    let seconds = match unit {
        Some(b'd') => 86_400,
        Some(b'h') => 3_600,
        Some(b'm') => 60,
        _ => 1,
    };
    let number: u64 = number.trim_end().parse().ok()?;
    let age = number.checked_mul(seconds).filter(|age| *age > 0)?;
    Some(Duration::from_secs(age))
}

/// How long `table` keeps its rows, by its property.
pub(super) fn retention(table: &Table) -> Option<Duration> {
    let text = table.metadata().properties().get(RETAIN)?;
    let age = parse_age(text);
    if age.is_none() {
        tracing::warn!(table = %table.key(), value = text, "{RETAIN} is not an age: all rows stay");
    }
    age
}

impl Lake {
    /// Removes the rows of the table `key` on `branch` that are older than `keep` or, without
    /// it, than the table's property says. Exactly these when `exact`; else only files
    /// whose rows are all that old.
    ///
    /// # Errors
    /// `InvalidInput` when `keep` is given and the table has no time column; `Conflict` when
    /// others change the same files again and again; those of the object store.
    pub async fn retain(
        &self,
        branch: &str,
        key: &Key,
        keep: Option<Duration>,
        exact: bool,
        author: &str,
    ) -> Result<RetainReport> {
        let mut report = RetainReport::default();
        for tries in 1.. {
            match self.retain_once(branch, key, keep, exact, author).await {
                Err(e) if e.kind() == ErrorKind::Conflict && tries < MOST_TRIES => {
                    tracing::debug!(table = %key, error = %e, "a retention was overtaken");
                }
                Err(e) => return Err(e),
                Ok(done) => {
                    report = done;
                    break;
                }
            }
        }
        Ok(report)
    }

    async fn retain_once(
        &self,
        branch: &str,
        key: &Key,
        keep: Option<Duration>,
        exact: bool,
        author: &str,
    ) -> Result<RetainReport> {
        let base = self.catalog().head(branch).await?;
        let table = self.table(&base, key).await?;
        let Some(limit) = limit(&table, keep)? else {
            return Ok(RetainReport::default());
        };
        let files = table.data_files().await?;
        let mut report = RetainReport::default();
        let old: Vec<_> = files
            .iter()
            .filter(|file| limit.is_over(&table, file))
            .cloned()
            .collect();
        let mixed: Vec<_> = files
            .iter()
            .filter(|file| exact && !limit.is_over(&table, file) && limit.may_reach(file))
            .cloned()
            .collect();
        if !old.is_empty() {
            report.files = old.len() as u64;
            report.rows = old.iter().map(|file| file.file.record_count()).sum();
            report.bytes = old.iter().map(|file| file.file.file_size_in_bytes()).sum();
            let count = old.len();
            let rewrite = Rewrite {
                removed: old,
                added: Vec::new(),
                kind: RewriteKind::Delete,
                summary: Default::default(),
            };
            let staged = self.stage_rewrite(&table, rewrite).await?;
            let message = format!("remove {count} files of {key} before {}", limit.before());
            let meta = meta(author, message, keep);
            self.commit(branch, meta, &base, vec![staged]).await?;
        }
        for file in mixed {
            let rows = self.cut(branch, key, &file, keep, author).await?;
            report.rows += rows;
            report.rewritten += u64::from(rows > 0);
        }
        Ok(report)
    }

    /// Rewrites one file without its old rows, and gives their number.
    async fn cut(
        &self,
        branch: &str,
        key: &Key,
        file: &ScanFile,
        keep: Option<Duration>,
        author: &str,
    ) -> Result<u64> {
        let base = self.catalog().head(branch).await?;
        let table = self.table(&base, key).await?;
        let Some(limit) = limit(&table, keep)? else {
            return Ok(0);
        };
        let live = table.data_files().await?;
        let same = |other: &&ScanFile| other.file.file_path() == file.file.file_path();
        let Some(file) = live.iter().find(same).cloned() else {
            return Ok(0);
        };
        let files = [file];
        let reader = Reader::new(self.store(), &table);
        let options = CompactOptions::default();
        let gone = Gone::of(&reader, self.store(), &table, &files, options.memory_bytes);
        let mut gone = Arc::new(gone.await?);
        let old = limit.old_rows(&reader, &table, &files[0], &gone).await?;
        let rows = old.len() as u64;
        let Some(all) = Arc::get_mut(&mut gone).filter(|_| rows > 0) else {
            return Ok(0);
        };
        all.take(&files[0], old);
        let gone = std::mem::take(all);
        let rewritten = rewrite(self, &table, &files, gone, false, &options).await?;
        let staged = rewritten
            .stage(self, &table, SnapshotKind::Overwrite)
            .await?;
        let message = format!("remove {rows} rows of {key} before {}", limit.before());
        let meta = meta(author, message, keep);
        self.commit(branch, meta, &base, vec![staged]).await?;
        Ok(rows)
    }
}

/// What the table itself asks for is maintenance, which passes protected branches; a limit
/// given by hand is a change like any other.
fn meta(author: &str, message: String, by_hand: Option<Duration>) -> CommitMeta {
    match by_hand {
        None => commit_meta(author, "retain", message),
        Some(_) => CommitMeta::new(author, message),
    }
}

/// Which rows are too old.
pub(super) struct Limit {
    column: NestedFieldRef,
    /// Rows before this time, in microseconds since 1970, go.
    micros: i64,
}

/// The limit of `table`; none when it keeps all.
pub(super) fn limit(table: &Table, keep: Option<Duration>) -> Result<Option<Limit>> {
    let Some(age) = keep.or_else(|| retention(table)) else {
        return Ok(None);
    };
    let Some(column) = time_column(table.metadata()) else {
        if keep.is_none() {
            tracing::warn!(table = %table.key(), "{RETAIN} is set, but no column holds the time");
            return Ok(None);
        }
        let key = table.key();
        let message = format!("table {key} has no column that holds the time of its rows");
        return Err(Error::invalid(message)
            .with_hint("a timestamp among its sort columns, or one it is partitioned by, is it"));
    };
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let micros = Utc::now().timestamp_micros().saturating_sub(age);
    Ok(Some(Limit { column, micros }))
}

/// The first timestamp or date the table is sorted by, or else partitioned by.
pub(super) fn time_column(metadata: &TableMetadata) -> Option<NestedFieldRef> {
    let schema = metadata.current_schema();
    let sorted = metadata.default_sort_order().fields.iter();
    let sorted = sorted.filter(|field| field.transform == Transform::Identity);
    let split = metadata.default_partition_spec().fields().iter();
    let sources = sorted.map(|field| field.source_id);
    let mut sources = sources.chain(split.map(|field| field.source_id));
    sources.find_map(|id| {
        schema
            .field_by_id(id)
            .filter(|field| is_time(field))
            .cloned()
    })
}

fn is_time(field: &NestedFieldRef) -> bool {
    use PrimitiveType::{Date, Timestamp, Timestamptz};
    matches!(
        field.field_type.as_ref(),
        Type::Primitive(Date | Timestamp | Timestamptz)
    )
}

impl Limit {
    fn before(&self) -> String {
        let at = DateTime::from_timestamp_micros(self.micros);
        at.map_or_else(String::new, |at| {
            at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        })
    }

    /// Whether all rows of the file are too old, as its entry tells. Rows without a time
    /// never are.
    pub(super) fn is_over(&self, table: &Table, file: &ScanFile) -> bool {
        let id = self.column.id;
        let whole = file.file.null_value_counts().get(&id) == Some(&0);
        let bound = file.file.upper_bounds().get(&id).filter(|_| whole);
        let newest = bound.and_then(|datum| self.end_of(datum.literal()));
        let newest = newest.or_else(|| self.partition_end(table, file));
        newest.is_some_and(|newest| newest <= self.micros)
    }

    /// Whether some rows of the file may be too old.
    pub(super) fn may_reach(&self, file: &ScanFile) -> bool {
        let oldest = oldest(file, self.column.id);
        oldest.is_none_or(|oldest| oldest < self.micros)
    }

    /// The first microsecond after a value.
    fn end_of(&self, value: &PrimitiveLiteral) -> Option<i64> {
        match value {
            PrimitiveLiteral::Long(micros) => micros.checked_add(1),
            PrimitiveLiteral::Int(day) => (i64::from(*day) + 1).checked_mul(MICROS_A_DAY),
            _ => None,
        }
    }

    /// The end of the day or hour that the file's partition is.
    fn partition_end(&self, table: &Table, file: &ScanFile) -> Option<i64> {
        let spec = table
            .metadata()
            .partition_spec_by_id(file.partition_spec_id)?;
        let fields = spec.fields().iter().zip(file.file.partition().fields());
        let mut ends = fields.filter(|(field, _)| field.source_id == self.column.id);
        ends.find_map(|(field, value)| match (field.transform, value) {
            (Transform::Day, Some(Literal::Primitive(PrimitiveLiteral::Int(day)))) => {
                (i64::from(*day) + 1).checked_mul(MICROS_A_DAY)
            }
            (Transform::Hour, Some(Literal::Primitive(PrimitiveLiteral::Int(hour)))) => {
                (i64::from(*hour) + 1).checked_mul(MICROS_AN_HOUR)
            }
            _ => None,
        })
    }

    /// The positions of the rows of `file` that are too old.
    async fn old_rows(
        &self,
        reader: &Reader,
        table: &Table,
        file: &ScanFile,
        gone: &Arc<Gone>,
    ) -> Result<Vec<u64>> {
        let schema = table.arrow_schema();
        let field = schema.field_with_name(&self.column.name);
        let field = field.map_err(|e| Error::internal("the time column is gone").with_source(e))?;
        let columns = Arc::new(Schema::new(vec![field.clone()]));
        let mut rows = reader.numbered(file, &columns, gone).await?;
        let mut old = Vec::new();
        while let Some((positions, batch)) = rows.try_next().await? {
            let times = batch.column(0);
            for (row, position) in positions.into_iter().enumerate() {
                let time = match times.data_type() {
                    _ if times.is_null(row) => None,
                    DataType::Date32 => {
                        let day = times.as_primitive::<Date32Type>().value(row);
                        Some(i64::from(day) * MICROS_A_DAY)
                    }
                    _ => Some(times.as_primitive::<TimestampMicrosecondType>().value(row)),
                };
                old.extend(time.filter(|time| *time < self.micros).map(|_| position));
            }
        }
        Ok(old)
    }
}

/// The time of the oldest row of a file, in microseconds, as its entry tells.
pub(super) fn oldest(file: &ScanFile, column: i32) -> Option<i64> {
    match file.file.lower_bounds().get(&column)?.literal() {
        PrimitiveLiteral::Long(micros) => Some(*micros),
        PrimitiveLiteral::Int(day) => i64::from(*day).checked_mul(MICROS_A_DAY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_seconds_or_have_a_unit() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        assert_eq!(parse_age("90d"), days(90));
        assert_eq!(parse_age(" 86400 "), days(1));
        assert_eq!(parse_age("48h"), days(2));
        assert_eq!(parse_age("1440m"), days(1));
        assert_eq!(parse_age("86400s"), days(1));
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "1.5d",
            "forever",
            "99999999999999999d",
        ] {
            assert_eq!(parse_age(text), None, "{text}");
        }
    }
}
