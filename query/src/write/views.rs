//! `CREATE VIEW`, staged on the state of a branch.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::{Content, Error, Operation, Result, Snapshot};
use datafusion::sql::sqlparser::ast::{Ident, Query};
use lake::ViewSpec;

use super::WriteContext;
use crate::grammar::CreateView;
use crate::sql;

pub(super) async fn create(
    context: &WriteContext,
    branch: &str,
    working: &Snapshot,
    create: &CreateView,
) -> Result<Vec<Operation>> {
    let scope = context.scope();
    let name = scope.full(&create.name);
    let key = name.key()?;
    match working.get(&key)? {
        Some(_) if create.if_not_exists => return Ok(Vec::new()),
        Some(Content::View { .. }) | None => {}
        Some(other) => {
            let what = other.type_name();
            return Err(Error::already_exists(format!(
                "{key} is there already: a {what}"
            )));
        }
    }
    let query = with_columns(create)?;
    // The view is read at whatever ref it is asked for, so its names mean that ref.
    let context = context.on(branch);
    let schema = context.plan(query.clone()).await?.schema();
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| Field::new(field.name(), field.data_type().clone(), true))
        .collect();
    let spec = ViewSpec {
        sql: query.to_string(),
        schema: Arc::new(Schema::new(fields)),
        default_namespace: scope.default_namespace.clone(),
        replace: create.or_replace,
        properties: BTreeMap::new(),
    };
    let staged = context.lake().stage_view(working, &key, spec).await?;
    // A view that reads itself is only seen once it is there.
    let mut after = context.scope().clone();
    after.working.insert(
        branch.to_owned(),
        working.with(std::slice::from_ref(&staged))?,
    );
    let reread = WriteContext::new(context.engine().clone(), after);
    reread.plan(select_all(&key)?).await?;
    Ok(vec![staged])
}

/// The query, its columns named as the view's.
fn with_columns(create: &CreateView) -> Result<Query> {
    if create.columns.is_empty() {
        return Ok(create.query.as_ref().clone());
    }
    let columns = create.columns.iter();
    let columns: Vec<String> = columns
        .map(|name| Ident::with_quote('"', name).to_string())
        .collect();
    let text = format!(
        "SELECT * FROM ({}) AS v ({})",
        create.query,
        columns.join(", ")
    );
    sql::query(&text)
}

fn select_all(key: &catalog::Key) -> Result<Query> {
    let (namespace, name) = (&key.namespace, &key.name);
    sql::query(&format!("SELECT * FROM \"{namespace}\".\"{name}\""))
}
