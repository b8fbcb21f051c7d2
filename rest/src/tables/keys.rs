//! What concerns the names of tables alone: listing, renaming, dropping.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use catalog::{Change, ChangeSet, Content, Key, Operation, Result, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};

use super::load;
use crate::api::Api;
use crate::error::{self, Failure};
use crate::extract::{Asked, At, Body, InNamespace, InRef, OfKey};
use crate::names::{self, Identifier};
use crate::namespaces;
use crate::page::Pages;

/// `GET .../tables`.
pub(crate) async fn list(
    State(api): State<Api>,
    At(within): At<InNamespace>,
    Asked(pages): Asked<Pages>,
) -> Result<Json<Value>, Failure> {
    let snapshot = api.snapshot(&within.prefix).await?;
    let keys = namespaces::keys(&snapshot, &within.namespace, |content| {
        matches!(content, Content::IcebergTable { .. })
    })?;
    identifiers(&pages, keys)
}

/// One page of `keys` as the specification lists tables and views.
pub(crate) fn identifiers(pages: &Pages, keys: Vec<Key>) -> Result<Json<Value>, Failure> {
    let page = pages.cut(keys, |key| &key.name)?;
    let names: Vec<_> = page.items.iter().map(Identifier::of).collect();
    Ok(Json(
        json!({"identifiers": names, "next-page-token": page.next}),
    ))
}

/// `DELETE .../tables/{table}`. Files stay, purge or not: other branches and earlier
/// commits may need them, and garbage collection removes those that nothing needs.
pub(crate) async fn drop(State(api): State<Api>, At(of): At<OfKey>) -> Result<StatusCode, Failure> {
    let key = names::existing(&of.namespace, &of.name, error::no_such_table)?;
    let message = format!("drop table {key}");
    api.commit(&of.prefix, message, Drop(key)).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct Drop(Key);

#[async_trait]
impl Change for Drop {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        load::location(head, &self.0)?;
        Ok(ChangeSet {
            operations: vec![Operation::Delete {
                key: self.0.clone(),
            }],
            ..ChangeSet::default()
        })
    }

    fn keys(&self) -> Option<BTreeSet<Key>> {
        Some(BTreeSet::from([self.0.clone()]))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Renaming {
    pub(crate) source: Identifier,
    pub(crate) destination: Identifier,
}

/// `POST .../tables/rename`.
pub(crate) async fn rename(
    State(api): State<Api>,
    At(within): At<InRef>,
    Body(renaming): Body<Renaming>,
) -> Result<StatusCode, Failure> {
    let from = renaming.source.existing(error::no_such_table)?;
    let to = renaming.destination.new_key()?;
    let message = format!("rename table {from} to {to}");
    let change = Rename {
        from,
        to,
        is_right: |content| matches!(content, Content::IcebergTable { .. }),
        missing: error::no_such_table,
    };
    api.commit(&within.prefix, message, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves what is under one key to another.
pub(crate) struct Rename {
    pub(crate) from: Key,
    pub(crate) to: Key,
    /// Whether a content is of the kind to rename.
    pub(crate) is_right: fn(&Content) -> bool,
    /// The error when nothing of that kind is there.
    pub(crate) missing: fn(&str) -> catalog::Error,
}

#[async_trait]
impl Change for Rename {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        let content = head
            .get(&self.from)?
            .filter(|content| (self.is_right)(content));
        let Some(content) = content else {
            return Err((self.missing)(&self.from.to_string()));
        };
        namespaces::check_exists(head, &self.to.namespace)?;
        namespaces::check_free(head, &self.to)?;
        let put = Operation::Put {
            key: self.to.clone(),
            content,
        };
        let delete = Operation::Delete {
            key: self.from.clone(),
        };
        Ok(ChangeSet {
            operations: vec![delete, put],
            ..ChangeSet::default()
        })
    }
}
