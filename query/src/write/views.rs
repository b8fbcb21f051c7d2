//! `CREATE VIEW`, staged on the state of a branch.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::{Content, Error, Operation, Result, Snapshot};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Ident, Query, Statement as SqlStatement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use lake::ViewSpec;

use super::WriteContext;
use crate::grammar::{CreateView, position};
use crate::names::FullName;
use crate::sql::{self, Parsed};

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
    let text = text(context, branch, create)?;
    // The view is read at whatever ref it is asked for, so its names mean that ref.
    let context = context.on(branch);
    let Parsed::Query(stored) = sql::parse(context.engine().base(), &text)? else {
        return Err(Error::internal("the query of a view is no query"));
    };
    let schema = context
        .engine()
        .plan(*stored, context.scope())
        .await?
        .schema();
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| Field::new(field.name(), field.data_type().clone(), true))
        .collect();
    let spec = ViewSpec {
        sql: text,
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

/// What is stored: the query as it was written, its columns named as the view's, and
/// tables of `branch` named without it. Merged elsewhere, the view reads there.
fn text(context: &WriteContext, branch: &str, create: &CreateView) -> Result<String> {
    let query = SqlStatement::Query(create.query.clone());
    let query = Statement::Statement(Box::new(query));
    let mut names = context.engine().names(&query, context.scope())?;
    names.retain(|name| name.reference == branch);
    let text = without_ref(&create.text, branch, &names)?;
    if create.columns.is_empty() {
        return Ok(text);
    }
    let columns = create.columns.iter();
    let columns: Vec<String> = columns
        .map(|name| Ident::with_quote('"', name).to_string())
        .collect();
    // The lines keep a comment at the end of the query from going on.
    Ok(format!(
        "SELECT * FROM (\n{text}\n) AS v ({})",
        columns.join(", ")
    ))
}

/// `sql` with `branch.namespace.table` shortened to `namespace.table` for the tables `names`.
fn without_ref(sql: &str, branch: &str, names: &[FullName]) -> Result<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| Error::invalid(error.to_string()))?;
    let tokens: Vec<_> = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .collect();
    let (mut shortened, mut done) = (String::with_capacity(sql.len()), 0);
    for (number, window) in tokens.windows(5).enumerate() {
        let inside = number > 0 && tokens[number - 1].token == Token::Period;
        let [first, Token::Period, namespace, Token::Period, table] =
            [0, 1, 2, 3, 4].map(|n| &window[n].token)
        else {
            continue;
        };
        let named = names.iter().any(|name| {
            word(namespace).is_some_and(|word| word == name.namespace)
                && word(table).is_some_and(|word| word == name.table)
        });
        if named && !inside && word(first).is_some_and(|word| word == branch) {
            shortened.push_str(&sql[done..position(sql, window[0].span.start)]);
            done = position(sql, window[2].span.start);
        }
    }
    shortened.push_str(&sql[done..]);
    Ok(shortened)
}

/// A name as it is compared: unquoted in lower case.
fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_some() => Some(word.value.clone()),
        Token::Word(word) => Some(word.value.to_lowercase()),
        _ => None,
    }
}

fn select_all(key: &catalog::Key) -> Result<Query> {
    let (namespace, name) = (&key.namespace, &key.name);
    sql::query(&format!("SELECT * FROM \"{namespace}\".\"{name}\""))
}
