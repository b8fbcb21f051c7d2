//! Rows that are appended once, however often it is tried: a watermark of the branch moves in
//! the same commit.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{CommitMeta, ErrorKind, Key, Operation, Result, Snapshot};
use lake::{Append, Lake};

use super::{ATTEMPTS, Rows, lacking, nullable, spec};

/// Appends `rows` to their tables on `branch` and moves the watermark `mark`, a name with the
/// position it has and the one it gets, in one commit. Tables and columns that are missing are
/// made before, in a commit of their own.
///
/// # Errors
/// `Conflict` where the watermark has moved already: nothing is appended then. Else those of
/// [`super::commit`].
pub(crate) async fn append_once(
    lake: &Lake,
    branch: &str,
    meta: CommitMeta,
    rows: Vec<Rows>,
    mark: (&str, Option<u64>, u64),
) -> Result<Snapshot> {
    let mut tables: BTreeMap<Key, Vec<RecordBatch>> = BTreeMap::new();
    for Rows { key, batch } in rows.into_iter().filter(|it| it.batch.num_rows() > 0) {
        tables.entry(key).or_default().push(batch);
    }
    let head = with_room(lake, branch, &meta, &tables).await?;
    let mut appends = Vec::with_capacity(tables.len());
    for (key, batches) in tables {
        let table = lake.table(&head, &key).await?;
        let files = lake.write(&table, batches).await?;
        appends.push(Append::to(&table, files));
    }
    let (name, expected, next) = mark;
    let change = lake.append(appends).with_watermark(name, expected, next);
    let catalog = lake.catalog();
    catalog.commit(branch, meta, Arc::new(change)).await
}

/// A head of `branch` whose tables can take these rows.
async fn with_room(
    lake: &Lake,
    branch: &str,
    meta: &CommitMeta,
    tables: &BTreeMap<Key, Vec<RecordBatch>>,
) -> Result<Snapshot> {
    let mut attempt = 1;
    loop {
        let head = lake.catalog().resolve_to_build_on(branch).await?;
        let mut operations: Vec<Operation> = Vec::new();
        for (key, batches) in tables {
            let wanted = nullable(batches)?;
            if !head.contains(key)? {
                operations.push(lake.stage_create(&head, key, &spec(key, &wanted)).await?);
                continue;
            }
            let table = lake.table(&head, key).await?;
            let lacking = lacking(&table, &wanted);
            if !lacking.is_empty() {
                operations.push(lake.stage_alter(&table, &lacking).await?);
            }
        }
        if operations.is_empty() {
            return Ok(head);
        }
        let made = CommitMeta {
            message: "make room for rows of models".to_owned(),
            ..meta.clone()
        };
        match lake.commit(branch, made, &head, operations).await {
            // Others have made the same meanwhile.
            Err(error)
                if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists)
                    && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            committed => return committed,
        }
    }
}
