//! `POST /v1/{prefix}/transactions/commit`: several tables, one catalog commit.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::commit::{CommitTables, TableCommit, Updates, message};
use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{At, Body, InRef};
use crate::names::Identifier;

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
    let mut commits: Vec<TableCommit> = Vec::new();
    for change in transaction.table_changes {
        let key = change.identifier.existing(error::no_such_table)?;
        if commits.iter().any(|commit| commit.key == key) {
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
