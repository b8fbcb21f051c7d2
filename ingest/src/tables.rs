//! The tables in the lake that rows need: created, evolved, and asked for until the lake answers.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use catalog::{CommitMeta, Error, ErrorKind, Key, Result, Snapshot};
use lake::maintain::RETAIN;
use lake::{Alter, Lake, PartitionField, Table, TableSpec};

use crate::backoff::Backoff;
use crate::decode::{self, Need};
use crate::stats::Counters;

/// Attempts at a table that fails in a way that may still pass.
const MOST_ATTEMPTS: usize = 3;

/// The author of ingest's commits.
pub(crate) const AUTHOR: &str = "ingest";

/// A way to the tables of one branch.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) lake: Lake,
    pub(crate) branch: String,
    pub(crate) counters: Arc<Counters>,
}

/// Why rows cannot have a table.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The table takes no rows at all: it is damaged, or its name is that of something else.
    Table(Error),
    /// It does not take these columns.
    Columns(Error),
}

impl Refusal {
    fn error(&self) -> &Error {
        match self {
            Self::Table(error) | Self::Columns(error) => error,
        }
    }
}

impl Tables {
    /// The table with the columns a message needs, created or evolved where it must be. Waits for
    /// a lake that is away.
    ///
    /// # Errors
    /// Why the message can have no such columns: a clash of types, a name that cannot be; or why
    /// the table takes no message.
    pub(crate) async fn provide(&self, need: &Need) -> Result<Table, Refusal> {
        self.until_settled(&need.key, &need.columns, &need.spec)
            .await
    }

    /// The dead-letter table, created when it is not there. Waits for a lake that is away.
    ///
    /// # Errors
    /// When a table of that name does not take dead letters.
    pub(crate) async fn provide_dead_letters(&self, key: &Key) -> Result<Table, Refusal> {
        let schema = decode::dead_letter_schema();
        let spec = TableSpec {
            schema: Arc::clone(&schema),
            partition: vec![PartitionField::day(decode::RECEIVED_AT)],
            sort: vec![decode::RECEIVED_AT.into()],
            bloom: Vec::new(),
            ..TableSpec::default()
        };
        let table = self.until_settled(key, &schema, &spec).await?;
        match takes(&table.arrow_schema(), &schema) {
            true => Ok(table),
            false => Err(Refusal::Table(Error::conflict(format!(
                "the columns of {key} are not those of dead letters"
            )))),
        }
    }

    async fn ensure(
        &self,
        key: &Key,
        columns: &SchemaRef,
        spec: &TableSpec,
    ) -> Result<Table, Refusal> {
        let head = self.lake.catalog().head(&self.branch).await;
        let head = head.map_err(Refusal::Table)?;
        let table = match self.lake.table(&head, key).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let meta = CommitMeta::new(AUTHOR, format!("create {key}")).automatic();
                let created = self.lake.create_table(&self.branch, key, spec, meta).await;
                return created.map_err(Refusal::Columns);
            }
            found => found.map_err(Refusal::Table)?,
        };
        let table = self.keep_as_long(&head, table, spec);
        let table = table.await.map_err(Refusal::Table)?;
        let schema = table.arrow_schema();
        let fields = columns.fields().iter();
        // Whether a message fits the columns there are is seen when it is decoded for them.
        let lacking: Vec<FieldRef> = fields
            .filter(|field| {
                let has = schema.field_with_name(field.name());
                !has.is_ok_and(|has| holds(has.data_type(), field.data_type()))
            })
            .cloned()
            .collect();
        if lacking.is_empty() {
            return Ok(table);
        }
        let names: Vec<&str> = lacking.iter().map(|f| f.name().as_str()).collect();
        let meta =
            CommitMeta::new(AUTHOR, format!("add {} to {key}", names.join(", "))).automatic();
        let lacking = Arc::new(Schema::new(lacking));
        let evolved = self.lake.evolve(&self.branch, key, &lacking, meta).await;
        evolved.map_err(Refusal::Columns)
    }

    /// Lets a table keep its rows for as long as its stream says now.
    async fn keep_as_long(&self, head: &Snapshot, table: Table, spec: &TableSpec) -> Result<Table> {
        let Some(age) = spec.properties.get(RETAIN) else {
            return Ok(table);
        };
        if table.metadata().properties().get(RETAIN) == Some(age) {
            return Ok(table);
        }
        let key = table.key();
        let set = Alter::SetProperties([(RETAIN.to_owned(), age.clone())].into());
        let staged = self.lake.stage_alter(&table, &[set]).await?;
        let meta = CommitMeta::new(AUTHOR, format!("keep rows of {key} for {age}")).automatic();
        let kept = self.lake.commit(&self.branch, meta, head, vec![staged]);
        match kept.await {
            Ok(kept) => self.lake.table(&kept, key).await,
            // Another ingester may set the same: rows come before it, and the next look tries again.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::warn!(%error, %key, "cannot set how long rows are kept, going on");
                let head = self.lake.catalog().head(&self.branch).await?;
                self.lake.table(&head, key).await
            }
            Err(error) => Err(error),
        }
    }

    /// Tries until it succeeds or fails in a way that trying again does not mend.
    async fn until_settled(
        &self,
        key: &Key,
        columns: &SchemaRef,
        spec: &TableSpec,
    ) -> Result<Table, Refusal> {
        let mut backoff = Backoff::new();
        let mut attempts = 1;
        loop {
            let refusal = match self.ensure(key, columns, spec).await {
                Ok(table) => return Ok(table),
                Err(refusal) => refusal,
            };
            let error = refusal.error();
            if refuses(error) {
                return Err(refusal);
            }
            if is_broken(error) {
                if attempts >= MOST_ATTEMPTS {
                    return Err(refusal);
                }
                attempts += 1;
            }
            tracing::warn!(%error, %key, "cannot prepare a table, trying again");
            self.counters.flush_failed(error);
            backoff.wait().await;
        }
    }
}

/// Whether a column has the fields and the width that are wanted of it.
fn holds(has: &DataType, wanted: &DataType) -> bool {
    match (has, wanted) {
        (DataType::Int32, DataType::Int64) | (DataType::Float32, DataType::Float64) => false,
        (DataType::Struct(has), DataType::Struct(wanted)) => wanted.iter().all(|wanted| {
            let has = has.find(wanted.name());
            has.is_some_and(|(_, has)| holds(has.data_type(), wanted.data_type()))
        }),
        (DataType::List(has), DataType::List(wanted)) => holds(has.data_type(), wanted.data_type()),
        _ => true,
    }
}

/// Whether a table of columns `has` takes rows of columns `wanted`.
fn takes(has: &SchemaRef, wanted: &SchemaRef) -> bool {
    let same = |has: &DataType, wanted: &DataType| match (has, wanted) {
        // What Iceberg makes of it.
        (DataType::LargeBinary, DataType::Binary) => true,
        _ => has == wanted,
    };
    let mut fields = has.fields().iter();
    fields.all(|field| {
        let wanted = wanted.field_with_name(field.name());
        let fits = wanted.map_or(true, |it| same(field.data_type(), it.data_type()));
        field.is_nullable() && fits
    })
}

/// Whether the lake refuses what it is asked for, rather than failing to answer.
fn refuses(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::Conflict
    )
}

/// Whether it is the table that fails, so far as can be told.
fn is_broken(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal)
}

/// Whether writing the same rows to the same table again would fail again.
pub(crate) fn is_lasting(error: &Error) -> bool {
    refuses(error) || is_broken(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Kind;

    #[test]
    fn fields_inside_structs_and_widths_are_looked_at() {
        let of = |text: &str| Kind::parse(text).unwrap().data_type();
        let has = of("struct<a: int, l: list<struct<x: float>>>");
        for wanted in [
            "struct<a: int>",
            "struct<l: list<struct<x: float>>>",
            "string",
        ] {
            assert!(holds(&has, &of(wanted)), "{wanted}");
        }
        for wanted in [
            "struct<b: int>",
            "struct<a: long>",
            "struct<l: list<struct<y: float>>>",
            "struct<l: list<struct<x: double>>>",
        ] {
            assert!(!holds(&has, &of(wanted)), "{wanted}");
        }
    }
}
