//! The keys of rows that are in the lake: read when ingesting starts, and again when rows have gone
//! from a table; and the property that tells compaction of the columns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use catalog::{CommitMeta, ErrorKind, Key, Result, Snapshot};
use futures::TryStreamExt;
use lake::{Alter, ScanFile};

use super::{MOST_KNOWN, PROPERTY, Table, Unique};
use crate::tables::{AUTHOR, Tables};

impl Unique {
    /// Reads the keys of the latest committed rows of `which`, in place of what was known of them,
    /// and brings the tables' property to what the streams say. What cannot be read is left out.
    ///
    /// # Errors
    /// When the lake does not answer.
    pub(crate) async fn load(&self, tables: &Tables, which: &[(Key, Arc<Table>)]) -> Result<()> {
        for (key, table) in which {
            let head = tables.lake.catalog().head(&tables.branch).await?;
            self.load_table(tables, &head, key, table).await?;
        }
        Ok(())
    }

    /// Reads the keys of tables anew whose rows may have gone since, before a flush of the rows up
    /// to `end`. Returns the position up to which rows were compared with keys that are none any
    /// more, if there are such rows: what they are has to be decided again.
    ///
    /// # Errors
    /// When the lake does not answer.
    pub(crate) async fn refresh(&self, tables: &Tables, end: u64) -> Result<Option<u64>> {
        let mut tables_here = self.tables();
        tables_here.retain(|(_, table)| table.has_hot(end));
        if tables_here.is_empty() {
            return Ok(None);
        }
        let head = tables.lake.catalog().head(&tables.branch).await?;
        let mut until = None;
        for (key, table) in tables_here {
            let at = table.seen().at;
            let place = match (tables.lake.table(&head, &key).await, at) {
                (Ok(found), Some(at)) if found.only_added_since(at) => Some(found.place()),
                (Ok(found), None) if found.is_bare() => Some(found.place()),
                (Err(error), None) if error.kind() == ErrorKind::NotFound => continue,
                (Err(error), _) if error.is_retryable() => return Err(error),
                _ => None,
            };
            if place.is_some() {
                table.seen().at = place;
                continue;
            }
            tracing::info!(%key, "reading the keys of a table again, as rows may have gone from it");
            until = until.max(self.load_table(tables, &head, &key, &table).await?);
        }
        Ok(until)
    }

    /// Reads the keys of one table; returns what [`Unique::refresh`] does.
    async fn load_table(
        &self,
        tables: &Tables,
        head: &Snapshot,
        key: &Key,
        table: &Table,
    ) -> Result<Option<u64>> {
        let (keys, place) = match self.read(tables, head, key, table).await {
            Ok((keys, place)) => (keys, Some(place)),
            Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, %key, "cannot read the keys of a table, going on without");
                Default::default()
            }
        };
        Ok(table.seen().replace(keys, place))
    }

    /// The keys of the latest rows, oldest first, and where the table stands with them.
    async fn read(
        &self,
        tables: &Tables,
        head: &Snapshot,
        key: &Key,
        table: &Table,
    ) -> Result<(Vec<u128>, lake::Place)> {
        let found = tables.lake.table(head, key).await?;
        let wanted = table.columns.join(",");
        if found.metadata().properties().get(PROPERTY) != Some(&wanted) {
            match self.tell(tables, head, &found, wanted).await {
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, %key, "cannot tell compaction of the dedup columns");
                }
                Ok(()) => {}
            }
        }
        let mut files: Vec<ScanFile> = found.data_files().await?.to_vec();
        files.sort_by_key(|file| std::cmp::Reverse(file.sequence_number));
        let mut newest_first = Vec::new();
        let mut rows = 0;
        for file in files {
            match self.keys_of(tables, &found, table, &file).await {
                Ok(keys) => newest_first.extend(keys.into_iter().rev()),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, %key, file = %file.path, "cannot read the keys of a file, going on without");
                }
            }
            rows += file.file.record_count();
            if rows >= MOST_KNOWN as u64 {
                break;
            }
        }
        newest_first.truncate(MOST_KNOWN);
        newest_first.reverse();
        Ok((newest_first, found.place()))
    }

    async fn tell(
        &self,
        tables: &Tables,
        head: &Snapshot,
        table: &lake::Table,
        columns: String,
    ) -> Result<()> {
        let (lake, branch) = (&tables.lake, &tables.branch);
        let property = BTreeMap::from([(PROPERTY.to_owned(), columns)]);
        let staged = lake
            .stage_alter(table, &[Alter::SetProperties(property)])
            .await?;
        let message = format!("set {PROPERTY} of {}", table.key());
        let meta = CommitMeta::new(AUTHOR, message).automatic();
        lake.commit(branch, meta, head, vec![staged]).await?;
        Ok(())
    }

    /// The keys of the latest rows of a file, in its order.
    async fn keys_of(
        &self,
        tables: &Tables,
        found: &lake::Table,
        table: &Table,
        file: &ScanFile,
    ) -> Result<VecDeque<u128>> {
        let lake = &tables.lake;
        let mut batches = lake.columns_of(found, file, &table.columns).await?;
        let mut keys = VecDeque::new();
        while let Some(batch) = batches.try_next().await? {
            keys.extend(self.hashes(&table.columns, &batch)?.into_iter().flatten());
            let most = keys.len().min(MOST_KNOWN);
            keys.drain(..keys.len() - most);
        }
        Ok(keys)
    }
}

impl Table {
    /// Whether rows up to `end` wait for their commit.
    fn has_hot(&self, end: u64) -> bool {
        let seen = self.seen();
        seen.hot.front().is_some_and(|(at, _)| *at <= end)
    }
}
