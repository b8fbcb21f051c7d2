//! What there is to query: branches as catalogs, namespaces as schemas, tables.
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::Schema;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables,
};
use catalog::{Error, Key, Result, Snapshot};
use datafusion::logical_expr::TableType;
use lake::Lake;

use crate::Engine;
use crate::catalogs::readable;
use crate::table::without_metadata;

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// The branches.
pub(crate) async fn catalogs(engine: &Engine, command: CommandGetCatalogs) -> Result<RecordBatch> {
    let mut builder = command.into_builder();
    for branch in engine.lake().catalog().branches().await? {
        builder.append(branch.name);
    }
    builder.build().map_err(building)
}

/// The namespaces.
pub(crate) async fn schemas(engine: &Engine, command: CommandGetDbSchemas) -> Result<RecordBatch> {
    let refs = refs(engine, command.catalog.as_deref()).await?;
    let mut builder = command.into_builder();
    for (name, snapshot) in &refs {
        for namespace in snapshot.namespaces()? {
            builder.append(name, namespace);
        }
    }
    builder.build().map_err(building)
}

/// The tables and views, with their columns where asked for.
pub(crate) async fn tables(engine: &Engine, command: CommandGetTables) -> Result<RecordBatch> {
    let wanted = Wanted::new(&command);
    let refs = refs(engine, command.catalog.as_deref()).await?;
    let with_schema = command.include_schema;
    let mut builder = command.into_builder();
    for (name, snapshot) in &refs {
        for (key, kind) in &readable(snapshot)? {
            let kind = type_name(*kind);
            if !wanted.has(key, kind)? {
                continue;
            }
            let schema = match with_schema {
                true => columns(engine.lake(), snapshot, key, kind).await?,
                false => Schema::empty(),
            };
            let appended = builder.append(name, &key.namespace, &key.name, kind, &schema);
            appended.map_err(building)?;
        }
    }
    builder.build().map_err(building)
}

/// `TABLE` and `VIEW`.
pub(crate) fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut builder = command.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    builder.build().map_err(building)
}

fn type_name(kind: TableType) -> &'static str {
    match kind {
        TableType::View => VIEW,
        _ => TABLE,
    }
}

async fn columns(lake: &Lake, snapshot: &Snapshot, key: &Key, kind: &str) -> Result<Schema> {
    let schema = match kind {
        VIEW => lake.view(snapshot, key).await?.schema.clone(),
        _ => lake.table(snapshot, key).await?.arrow_schema(),
    };
    Ok(without_metadata(&schema).as_ref().clone())
}

/// The refs to list: one branch or commit where the client names it, else every branch.
/// A name that is no ref lists nothing.
async fn refs(engine: &Engine, only: Option<&str>) -> Result<Vec<(String, Snapshot)>> {
    let catalog = engine.lake().catalog();
    let names = match only {
        Some("") => Vec::new(),
        Some(name) => vec![name.to_owned()],
        None => {
            let branches = catalog.branches().await?;
            branches.into_iter().map(|branch| branch.name).collect()
        }
    };
    let mut refs = Vec::with_capacity(names.len());
    for name in names {
        match catalog.resolve(&name).await {
            Ok(snapshot) => refs.push((name, snapshot)),
            // Named by a client that guesses, or deleted since it was listed.
            Err(error) if error.is_user_error() && !error.is_retryable() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(refs)
}

/// The filters of `CommandGetTables`, applied before any table is loaded.
struct Wanted {
    schema: Option<String>,
    table: Option<String>,
    types: Vec<String>,
}

impl Wanted {
    fn new(command: &CommandGetTables) -> Self {
        Wanted {
            schema: command.db_schema_filter_pattern.clone(),
            table: command.table_name_filter_pattern.clone(),
            types: command.table_types.clone(),
        }
    }

    fn has(&self, key: &Key, kind: &str) -> Result<bool> {
        Ok(
            (self.types.is_empty() || self.types.iter().any(|name| name == kind))
                && like(self.schema.as_deref(), &key.namespace)?
                && like(self.table.as_deref(), &key.name)?,
        )
    }
}

/// SQL LIKE: `%` any text, `_` any character, `\` escapes; no pattern matches all.
fn like(pattern: Option<&str>, text: &str) -> Result<bool> {
    let Some(pattern) = pattern else {
        return Ok(true);
    };
    let text = StringArray::from(vec![text]);
    let matched = arrow::compute::like(&text, &StringArray::new_scalar(pattern))
        .map_err(|error| Error::invalid(format!("unusable pattern {pattern:?}: {error}")))?;
    Ok(matched.value(0))
}

/// A metadata batch that cannot be put together is a fault of ours.
pub(crate) fn building(error: FlightError) -> Error {
    Error::internal("cannot build a metadata answer").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(like(None, "telemetry").unwrap());
        assert!(like(Some("%"), "telemetry").unwrap());
        assert!(like(Some("tele%"), "telemetry").unwrap());
        assert!(like(Some("dead_letters"), "deadxletters").unwrap());
        assert!(!like(Some("dead\\_letters"), "deadxletters").unwrap());
        assert!(like(Some("dead\\_letters"), "dead_letters").unwrap());
        assert!(!like(Some("Tele%"), "telemetry").unwrap());
    }
}
