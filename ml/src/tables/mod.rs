//! The `ml.*` tables: what happened to models, as rows beside them.
//!
//! All of them are written by [`commit`], in one catalog commit with the models it is about.
//! A table is partitioned by the day of its first column `time`, and made where it is
//! missing, under an identity that follows from its key: two branches that each make
//! `ml.runs` make one table, and their rows merge as appends do.
mod columns;
mod once;
mod training;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use catalog::{CommitMeta, Content, ErrorKind, Key, Operation, Result, Snapshot};
use futures::future::try_join_all;
use lake::{Alter, Lake, PartitionField, Table, TableSpec};
use uuid::Uuid;

use crate::registry;

pub(crate) use columns::Columns;
pub(crate) use once::append_once;
pub(crate) use training::{Run, of_run};

/// The column every table begins with: when it happened, in UTC.
pub(crate) const TIME: &str = "time";

/// How often rows are staged anew when another commit changed the same in a way that does not
/// go together with them, such as putting the same model.
const ATTEMPTS: u32 = 5;

/// Rows for one table.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table, such as `ml.runs`.
    pub key: Key,
    /// The rows; the columns are matched by name, and `time` is one of them.
    pub batch: RecordBatch,
}

/// Appends `rows` to their tables and puts `models` under their keys on `branch`, all in one
/// commit. Tables that are missing are created, columns that are missing added as nullable
/// ones; batches without rows change nothing. Commits by others meanwhile, of the same tables
/// too, are no hindrance; of two that put the same model the later one stands.
///
/// # Errors
/// `AlreadyExists` for a model under the key of something else; `Conflict` or `InvalidInput`
/// for columns of a type that the table's cannot hold; those of [`catalog::Catalog::commit`].
pub async fn commit(
    lake: &Lake,
    branch: &str,
    meta: CommitMeta,
    rows: Vec<Rows>,
    models: Vec<(Key, Content)>,
) -> Result<Snapshot> {
    let mut tables: BTreeMap<Key, Vec<RecordBatch>> = BTreeMap::new();
    for Rows { key, batch } in rows.into_iter().filter(|it| it.batch.num_rows() > 0) {
        tables.entry(key).or_default().push(batch);
    }
    let mut attempt = 1;
    loop {
        let head = lake.catalog().resolve_to_build_on(branch).await?;
        let staged = tables
            .iter()
            .map(|(key, batches)| stage(lake, &head, key, batches));
        let mut operations = try_join_all(staged).await?;
        for (key, content) in &models {
            registry::check_key(&head, key)?;
            operations.push(Operation::Put {
                key: key.clone(),
                content: content.clone(),
            });
        }
        let committed = lake.commit(branch, meta.clone(), &head, operations).await;
        match committed {
            Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {
                tracing::debug!(branch, attempt, %error, "staging rows of models anew");
                attempt += 1;
            }
            committed => return committed,
        }
    }
}

/// The one operation that gives the table `key` all of `batches`.
async fn stage(
    lake: &Lake,
    head: &Snapshot,
    key: &Key,
    batches: &[RecordBatch],
) -> Result<Operation> {
    let wanted = nullable(batches)?;
    let mut state = head.clone();
    if !head.contains(key)? {
        let created = lake.stage_create(head, key, &spec(key, &wanted)).await?;
        state = state.with(&[created])?;
    }
    let mut table = lake.table(&state, key).await?;
    let lacking = lacking(&table, &wanted);
    if !lacking.is_empty() {
        let evolved = lake.stage_alter(&table, &lacking).await?;
        table = lake.table(&state.with(&[evolved])?, key).await?;
    }
    let files = lake.write(&table, batches.to_vec()).await?;
    lake.stage_append(&table, files, BTreeMap::new()).await
}

/// The columns of all batches, which later batches may leave out.
fn nullable(batches: &[RecordBatch]) -> Result<Arc<Schema>> {
    let mut names = BTreeSet::new();
    let mut fields: Vec<Field> = Vec::new();
    for field in batches.iter().flat_map(|it| it.schema_ref().fields()) {
        if names.insert(field.name()) {
            fields.push(field.as_ref().clone().with_nullable(true));
        }
    }
    if !names.contains(&TIME.to_owned()) {
        let message = format!("rows of a table of models need a column '{TIME}'");
        return Err(catalog::Error::invalid(message));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn spec(key: &Key, schema: &Arc<Schema>) -> TableSpec {
    TableSpec {
        schema: Arc::clone(schema),
        partition: vec![PartitionField::day(TIME)],
        sort: vec![TIME.to_owned()],
        uuid: Some(identity(key)),
        ..TableSpec::default()
    }
}

/// Which table `key` is, wherever it is created.
fn identity(key: &Key) -> Uuid {
    let name = format!("pumphouse:table:{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn lacking(table: &Table, wanted: &Schema) -> Vec<Alter> {
    let there = table.arrow_schema();
    let lacking = wanted.fields().iter();
    lacking
        .filter(|field| there.index_of(field.name()).is_err())
        .map(|field| Alter::AddColumn {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
        })
        .collect()
}
