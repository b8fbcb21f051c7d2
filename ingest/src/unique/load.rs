//! The keys of rows that are in the lake when ingesting starts, and the property that tells
//! compaction of the columns.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use catalog::{CommitMeta, ErrorKind, Key, Result};
use lake::{Alter, ScanFile};
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{MOST_KNOWN, PROPERTY, Table, Unique};
use crate::tables::{AUTHOR, Tables};

impl Unique {
    /// Reads the keys of the latest committed rows, in place of all that was known, and brings the
    /// tables' property to what the streams say. A file that cannot be read is left out.
    ///
    /// # Errors
    /// When the lake does not answer.
    pub(crate) async fn load(&self, tables: &Tables) -> Result<()> {
        for (key, table) in self.tables() {
            self.load_table(tables, &key, &table).await?;
        }
        Ok(())
    }

    /// The same of one table.
    ///
    /// # Errors
    /// When the lake does not answer.
    pub(crate) async fn load_table(&self, tables: &Tables, key: &Key, table: &Table) -> Result<()> {
        let lake = &tables.lake;
        let head = lake.catalog().head(&tables.branch).await?;
        let found = match lake.table(&head, key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        let wanted = table.columns.join(",");
        let said = found.metadata().properties().get(PROPERTY);
        if said != Some(&wanted) {
            self.tell(tables, key, wanted).await?;
        }
        let mut files: Vec<ScanFile> = found.data_files().await?.to_vec();
        files.sort_by_key(|file| std::cmp::Reverse(file.sequence_number));
        *table.seen() = Default::default();
        let mut newest_first = Vec::new();
        for file in files {
            match self.keys_of(tables, &table.columns, &file).await {
                Ok(keys) => newest_first.extend(keys),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, %key, file = %file.path, "cannot read the keys of a file, going on without");
                }
            }
            if newest_first.len() >= MOST_KNOWN {
                break;
            }
        }
        newest_first.truncate(MOST_KNOWN);
        newest_first.reverse();
        let mut seen = table.seen();
        newest_first.retain(|hash| seen.all.insert(*hash));
        seen.commit(newest_first);
        Ok(())
    }

    async fn tell(&self, tables: &Tables, key: &Key, columns: String) -> Result<()> {
        let (lake, branch) = (&tables.lake, &tables.branch);
        let head = lake.catalog().head(branch).await?;
        let table = lake.table(&head, key).await?;
        let property = BTreeMap::from([(PROPERTY.to_owned(), columns)]);
        let staged = lake
            .stage_alter(&table, &[Alter::SetProperties(property)])
            .await?;
        let meta = CommitMeta::new(AUTHOR, format!("set {PROPERTY} of {key}")).automatic();
        lake.commit(branch, meta, &head, vec![staged]).await?;
        Ok(())
    }

    async fn keys_of(
        &self,
        tables: &Tables,
        columns: &[String],
        file: &ScanFile,
    ) -> Result<Vec<u128>> {
        let store = tables.lake.store().object_store();
        let bytes = store.get(&file.path).await?.bytes().await?;
        let broken = |e: parquet::errors::ParquetError| {
            catalog::Error::corrupt(format!("cannot read {}", file.path)).with_source(e)
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(broken)?;
        let names = columns.iter().map(String::as_str);
        let mask = ProjectionMask::columns(reader.parquet_schema(), names);
        let mut keys = Vec::new();
        for batch in reader.with_projection(mask).build().map_err(broken)? {
            let batch: RecordBatch = batch.map_err(super::failed)?;
            keys.extend(self.hashes(columns, &batch)?.into_iter().flatten());
        }
        Ok(keys)
    }
}
