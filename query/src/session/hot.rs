//! Rows on their way from ingest, committed before a statement that depends on them.
use std::collections::BTreeMap;

use catalog::{Content, Result, Snapshot};
use lake::hot::HotCut;

use crate::Engine;
use crate::names::{FullName, INFORMATION_SCHEMA};
use crate::scope::Scope;
use crate::sql::{self, Parsed};
use crate::write::Write;

/// Has all rows committed that queries of `branch` show already. True when a new head is to
/// be read.
pub(super) async fn flush(engine: &Engine, branch: &str) -> Result<bool> {
    match engine.hot().filter(|hot| hot.branch() == branch) {
        Some(hot) => hot.flush().await.map(|()| true),
        None => Ok(false),
    }
}

/// As [`flush`], where `write` depends on rows that `base`, the head of `branch`, lacks.
pub(super) async fn flush_for(
    engine: &Engine,
    base: &Snapshot,
    branch: &str,
    write: &Write,
    scope: &Scope,
) -> Result<bool> {
    let Some(hot) = engine.hot().filter(|hot| hot.branch() == branch) else {
        return Ok(false);
    };
    let mut tables = Tables {
        engine,
        heads: BTreeMap::from([(branch.to_owned(), base.clone())]),
        found: Vec::new(),
    };
    tables.find(write.reads(engine, scope, base)?).await?;
    for name in tables.found.iter().filter(|name| name.reference == branch) {
        if !matches!(hot.rows_after(&name.key()?, base), HotCut::Empty) {
            return flush(engine, branch).await;
        }
    }
    Ok(false)
}

/// The tables behind names: views stand for those they read.
struct Tables<'a> {
    engine: &'a Engine,
    /// The states of refs that names were looked up in.
    heads: BTreeMap<String, Snapshot>,
    /// Every name met, those of views too.
    found: Vec<FullName>,
}

impl Tables<'_> {
    /// What cannot be found or read is passed over: the statement itself tells what is wrong.
    async fn find(&mut self, names: Vec<FullName>) -> Result<()> {
        let mut open = names;
        while let Some(name) = open.pop() {
            if name.namespace == INFORMATION_SCHEMA || self.found.contains(&name) {
                continue;
            }
            if let Some(Content::View { .. }) = self.content(&name).await? {
                open.extend(self.behind(&name).await.unwrap_or_default());
            }
            self.found.push(name);
        }
        Ok(())
    }

    async fn content(&mut self, name: &FullName) -> Result<Option<Content>> {
        if !self.heads.contains_key(&name.reference) {
            let catalog = self.engine.lake().catalog();
            let Ok(head) = catalog.resolve(&name.reference).await else {
                return Ok(None);
            };
            self.heads.insert(name.reference.clone(), head);
        }
        self.heads[&name.reference].get(&name.key()?)
    }

    /// What the view `name` reads.
    async fn behind(&self, name: &FullName) -> Result<Vec<FullName>> {
        let lake = self.engine.lake();
        let view = lake
            .view(&self.heads[&name.reference], &name.key()?)
            .await?;
        let scope = Scope {
            default_ref: name.reference.clone(),
            default_namespace: view.default_namespace.clone(),
            ..Scope::default()
        };
        match sql::parse(self.engine.base(), &view.sql)? {
            Parsed::Query(query) => self.engine.names(&query, &scope),
            Parsed::Action(_) => Ok(Vec::new()),
        }
    }
}
