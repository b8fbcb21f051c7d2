//! Rows that repeat a key: which of them a compaction leaves out.
//!
//! The key columns of all files that are compacted together are read once before the rows
//! are, in the order of the commits; a row whose key came before is deleted as if by its
//! position. A key takes sixteen bytes: a hash that is seeded anew each time, so that
//! nobody can choose keys that collide.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{FieldRef, Schema};
use arrow::row::{RowConverter, SortField};
use catalog::Result;
use futures::TryStreamExt;

use super::DEDUP;
use crate::error;
use crate::read::{Gone, Reader};
use crate::table::{ScanFile, Table};

/// The columns of the table's key; none when it has no key, or when it names columns that
/// are not there (any more).
pub(super) fn key_columns(table: &Table) -> Vec<FieldRef> {
    let Some(names) = table.metadata().properties().get(DEDUP) else {
        return Vec::new();
    };
    let schema = table.arrow_schema();
    let mut columns = Vec::new();
    for name in names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match schema.field_with_name(name) {
            Ok(field) => columns.push(Arc::new(field.clone())),
            Err(_) => {
                tracing::warn!(
                    table = %table.key(), column = name,
                    "the table's key names a column that it lacks: rows are not deduplicated"
                );
                return Vec::new();
            }
        }
    }
    columns
}

/// Takes out of `gone` the rows of `files` whose key an earlier row has, and gives their
/// number in each file. Rows with a null in their key stay.
pub(super) async fn take_repeated(
    reader: &Reader,
    columns: &[FieldRef],
    files: &[ScanFile],
    gone: &mut Arc<Gone>,
) -> Result<Vec<u64>> {
    let schema = Arc::new(Schema::new(columns.to_vec()));
    let sort = columns
        .iter()
        .map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(sort.collect());
    let converter = converter.map_err(error::arrow("the table's key cannot be compared"))?;
    let hash = Hash::default();
    let mut seen = HashSet::new();
    let mut repeated = Vec::new();
    for file in files {
        let mut rows = reader.numbered(file, &schema, gone).await?;
        let mut own = Vec::new();
        while let Some((positions, batch)) = rows.try_next().await? {
            let keys = converter.convert_columns(batch.columns());
            let keys = keys.map_err(error::arrow("could not read the table's key"))?;
            for (row, (key, position)) in keys.iter().zip(positions).enumerate() {
                let null = batch.columns().iter().any(|column| column.is_null(row));
                if !null && !seen.insert(hash.of(key.as_ref())) {
                    own.push(position);
                }
            }
        }
        repeated.push(own);
    }
    let counts = repeated.iter().map(|own| own.len() as u64).collect();
    // Nobody else holds it between two passes.
    if let Some(gone) = Arc::get_mut(gone) {
        for (file, own) in files.iter().zip(repeated) {
            gone.take(file, own);
        }
    }
    Ok(counts)
}

#[derive(Default)]
struct Hash(RandomState, RandomState);

impl Hash {
    fn of(&self, key: &[u8]) -> (u64, u64) {
        (self.0.hash_one(key), self.1.hash_one(key))
    }
}
