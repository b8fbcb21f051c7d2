//! `POST /v1/{prefix}/transactions/commit`: several tables, one catalog commit.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::commit::{CommitTables, TableCommit, Updates, message};
use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{At, Body, InRef};
use crate::names::Identifier;

/// Most tables of one transaction.
const MOST_TABLES: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Transaction {
    table_changes: Vec<TableChange>,
}

#[derive(Debug, Deserialize)]
struct TableChange {
    identifier: Identifier,
    #[serde(flatten)]
    updates: Updates,
}

pub(crate) async fn post(
    State(api): State<Api>,
    At(within): At<InRef>,
    Body(transaction): Body<Transaction>,
) -> Result<StatusCode, Failure> {
    let count = transaction.table_changes.len();
    if count > MOST_TABLES {
        let message = format!("the transaction names {count} tables, more than {MOST_TABLES}");
        return Err(Failure::bad_request(message));
    }
    let mut seen = BTreeSet::new();
    let mut commits = Vec::new();
    for change in transaction.table_changes {
        let key = change.identifier.existing(error::no_such_table)?;
        if !seen.insert(key.clone()) {
            let message = format!("the transaction names {key} twice");
            return Err(Failure::bad_request(message));
        }
        let updates = change.updates;
        commits.push(TableCommit { key, updates });
    }
    let message = message(&commits);
    let lake = api.lake().clone();
    let change = CommitTables { lake, commits };
    api.commit(&within.prefix, message, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
