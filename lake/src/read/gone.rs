//! Which rows of some data files are deleted: by position, or by the values of a key.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use catalog::{Error, ErrorKind, Result, Store};
use futures::TryStreamExt;
use object_store::path::Path;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::Reader;
use crate::deletes::{DELETE_FILE_PATH_ID, DELETE_POS_ID, DeleteFile};
use crate::error;
use crate::table::{ScanFile, Table};

/// The deleted rows of data files of one partition.
#[derive(Default)]
pub(crate) struct Gone {
    /// By data file, ascending.
    positions: HashMap<Path, Vec<u64>>,
    keys: Vec<Keys>,
    /// All columns of `keys`, each once.
    columns: Vec<FieldRef>,
    /// What keys and positions take.
    bytes: u64,
}

/// What a key takes beside its bytes.
const KEY_BYTES: u64 = 48;

/// The keys of equality deletes on the same columns.
struct Keys {
    /// Where the columns are in [`Gone::columns`].
    columns: Vec<usize>,
    converter: RowConverter,
    /// The highest sequence number each key was deleted with; it hits lower ones.
    newest: HashMap<Box<[u8]>, i64>,
}

impl Gone {
    /// What the deletes that apply to `files`, which are of one partition, take out; in no
    /// more than about `most` bytes.
    ///
    /// # Errors
    /// `Corrupt` for delete files that are damaged or missing; `ResourceExhausted` when they
    /// name more than fits.
    pub(crate) async fn of(
        reader: &Reader,
        store: &Store,
        table: &Table,
        files: &[ScanFile],
        most: u64,
    ) -> Result<Self> {
        let mut gone = Self::default();
        let wanted: HashSet<&Path> = files.iter().map(|file| &file.path).collect();
        let mut deletes: BTreeMap<&Path, &Arc<DeleteFile>> = BTreeMap::new();
        for delete in files.iter().flat_map(|file| file.deletes.iter()) {
            deletes.insert(&delete.path, delete);
        }
        for delete in deletes.into_values() {
            match delete.is_positional() {
                true => {
                    gone.read_positions(reader, store, delete, &wanted, most)
                        .await?;
                }
                false => gone.read_keys(reader, table, delete, most).await?,
            }
        }
        gone.positions.values_mut().for_each(tidy);
        Ok(gone)
    }

    /// Also takes out the rows of `file` at `positions`.
    pub(crate) fn take(&mut self, file: &ScanFile, positions: Vec<u64>) {
        let all = self.positions.entry(file.path.clone()).or_default();
        all.extend(positions);
        tidy(all);
    }

    /// The columns that deletes by value compare, which a scan has to read after its own.
    pub(super) fn key_columns(&self) -> &[FieldRef] {
        &self.columns
    }

    /// Which rows of `batch`, the first of which is at `start` of `file`, are left; `None`
    /// for all. The batch ends in [`Gone::key_columns`].
    pub(super) fn kept(
        &self,
        file: &ScanFile,
        start: u64,
        batch: &RecordBatch,
    ) -> Result<Option<BooleanArray>> {
        let rows = batch.num_rows();
        let mut keep = vec![true; rows];
        if let Some(positions) = self.positions.get(&file.path) {
            let end = start + rows as u64;
            let from = positions.partition_point(|at| *at < start);
            let to = positions.partition_point(|at| *at < end);
            for at in positions.get(from..to).unwrap_or_default() {
                keep[(at - start) as usize] = false;
            }
        }
        let first = batch.num_columns() - self.columns.len();
        for keys in &self.keys {
            let columns = keys
                .columns
                .iter()
                .map(|at| batch.column(first + at).clone());
            let columns: Vec<ArrayRef> = columns.collect();
            let values = keys.converter.convert_columns(&columns);
            let values = values.map_err(error::arrow("could not compare deleted rows"))?;
            for (value, keep) in values.iter().zip(&mut keep) {
                let number = keys.newest.get(value.as_ref());
                *keep &= number.is_none_or(|number| *number <= file.sequence_number);
            }
        }
        Ok((!keep.iter().all(|keep| *keep)).then(|| keep.into()))
    }

    async fn read_positions(
        &mut self,
        reader: &Reader,
        store: &Store,
        delete: &DeleteFile,
        wanted: &HashSet<&Path>,
        most: u64,
    ) -> Result<()> {
        let size = delete.file.file_size_in_bytes();
        let mut rows = reader.file(&delete.path, size, &position_columns()).await?;
        while let Some(batch) = rows.try_next().await? {
            let paths = batch.column(0).as_string::<i32>();
            let positions = batch.column(1).as_primitive::<Int64Type>();
            if paths.null_count() + positions.null_count() > 0 {
                let path = &delete.path;
                return Err(Error::corrupt(format!(
                    "position delete file {path} has a null path or position"
                )));
            }
            // Rows are sorted by path, so one look-up serves a run of them.
            let mut last: Option<(&str, Option<Path>)> = None;
            for (path, position) in paths.iter().flatten().zip(positions.values()) {
                if last.as_ref().is_none_or(|(text, _)| *text != path) {
                    let known = store.path(path).ok();
                    last = Some((path, known.filter(|path| wanted.contains(path))));
                }
                if let Some((_, Some(path))) = &last
                    && let Ok(position) = u64::try_from(*position)
                {
                    let all = self.positions.entry(path.clone()).or_default();
                    all.push(position);
                    self.bytes += size_of::<u64>() as u64;
                }
            }
            fits(self.bytes, most, delete)?;
        }
        Ok(())
    }

    async fn read_keys(
        &mut self,
        reader: &Reader,
        table: &Table,
        delete: &DeleteFile,
        most: u64,
    ) -> Result<()> {
        let mut ids = delete.file.equality_ids().unwrap_or_default();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            let path = &delete.path;
            return Err(Error::corrupt(format!(
                "equality delete file {path} names no columns"
            )));
        }
        let mut fields = Vec::with_capacity(ids.len());
        for id in ids {
            let field = table.former_column(id)?.ok_or_else(|| {
                let path = &delete.path;
                let what = format!("equality delete file {path} deletes by field {id}");
                Error::corrupt(format!("{what}, which the table never had"))
            })?;
            // Two columns of one scan must not share a name.
            fields.push(Arc::new(
                field
                    .with_name(format!("\u{1}key {id}"))
                    .with_nullable(true),
            ));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields.clone()));
        let size = delete.file.file_size_in_bytes();
        let mut rows = reader.file(&delete.path, size, &schema).await?;
        let mut bytes = self.bytes;
        let keys = self.keys_on(&fields)?;
        while let Some(batch) = rows.try_next().await? {
            let values = keys.converter.convert_columns(batch.columns());
            let values = values.map_err(error::arrow("could not read deleted keys"))?;
            for value in &values {
                let number = delete.sequence_number;
                let newest = keys.newest.entry(value.as_ref().into());
                if matches!(newest, Entry::Vacant(_)) {
                    bytes += value.as_ref().len() as u64 + KEY_BYTES;
                }
                let newest = newest.or_insert(number);
                *newest = number.max(*newest);
            }
            fits(bytes, most, delete)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    fn keys_on(&mut self, fields: &[FieldRef]) -> Result<&mut Keys> {
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let at = self.columns.iter().position(|known| known == field);
            columns.push(at.unwrap_or_else(|| {
                self.columns.push(Arc::clone(field));
                self.columns.len() - 1
            }));
        }
        let at = match self.keys.iter().position(|keys| keys.columns == columns) {
            Some(at) => at,
            None => {
                let sort = fields
                    .iter()
                    .map(|field| SortField::new(field.data_type().clone()));
                let converter = RowConverter::new(sort.collect());
                self.keys.push(Keys {
                    columns,
                    converter: converter.map_err(error::arrow("cannot compare deleted keys"))?,
                    newest: HashMap::new(),
                });
                self.keys.len() - 1
            }
        };
        Ok(&mut self.keys[at])
    }
}

fn fits(bytes: u64, most: u64, delete: &DeleteFile) -> Result<()> {
    if bytes <= most {
        return Ok(());
    }
    let path = &delete.path;
    Err(Error::new(
        ErrorKind::ResourceExhausted,
        format!("the rows that deletes up to {path} name do not fit in {most} bytes"),
    )
    .with_hint(
        "raise maintain.memory_bytes, or rewrite the table with the engine that deleted them",
    ))
}

fn tidy(positions: &mut Vec<u64>) {
    positions.sort_unstable();
    positions.dedup();
}

fn position_columns() -> SchemaRef {
    let field = |name: &str, kind, id: i32| {
        let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string());
        Field::new(name, kind, true).with_metadata(HashMap::from([id]))
    };
    Arc::new(Schema::new(vec![
        field("file_path", DataType::Utf8, DELETE_FILE_PATH_ID),
        field("pos", DataType::Int64, DELETE_POS_ID),
    ]))
}
