//! Pins a statement: every ref it names to one commit, and hot rows cut to match.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{Content, Error, Key, Result};
use futures::future::BoxFuture;
use lake::hot::{HotCut, HotRows};

use crate::Engine;
use crate::catalogs::{PinnedRef, PinnedRefs};
use crate::error::stream_error;
use crate::names::{FullName, INFORMATION_SCHEMA, no_such_table};
use crate::scope::Scope;
use crate::table::LakeTable;
use crate::views;

/// How long to chase a buffer that keeps dropping rows we have not seen committed.
const CHASE: Duration = Duration::from_secs(20);

/// Resolves every ref in `names` and the default ref once, and loads the tables and views
/// named, with the tables those read.
///
/// When the hot buffer has moved on since a head was read, all is read again, so that
/// no row is missed and none is seen twice.
///
/// # Errors
/// `NotFound` for a ref or table that is not there, `Unavailable` when commits keep
/// overtaking the reads.
pub(crate) async fn pin(engine: &Engine, scope: &Scope, names: &[FullName]) -> Result<PinnedRefs> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let mut pinning = Pinning {
            engine,
            scope,
            refs: BTreeMap::new(),
        };
        if pinning.pin(names).await? == Cut::Clean {
            return pinning.refs();
        }
        if started.elapsed() > CHASE {
            return Err(Error::unavailable(
                "rows were committed faster than this query could read the head",
            )
            .with_hint("try again"));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// Whether the heads read and the hot rows fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Clean,
    /// The hot buffer has dropped rows that the heads read here lack.
    Gone,
}

/// The refs and tables of a statement, as far as they are loaded.
pub(crate) struct Pinning<'a> {
    pub(crate) engine: &'a Engine,
    scope: &'a Scope,
    refs: BTreeMap<String, PinnedRef>,
}

impl Pinning<'_> {
    async fn pin(&mut self, names: &[FullName]) -> Result<Cut> {
        self.resolve(&self.scope.default_ref).await?;
        self.load_all(names, &[]).await
    }

    /// Loads the tables and views `names`; `path` are the views being loaded that lead here.
    pub(crate) async fn load_all(&mut self, names: &[FullName], path: &[FullName]) -> Result<Cut> {
        for name in names {
            self.resolve(&name.reference).await?;
            if name.namespace != INFORMATION_SCHEMA && self.load(name, path).await? == Cut::Gone {
                return Ok(Cut::Gone);
            }
        }
        Ok(Cut::Clean)
    }

    /// All that is loaded, for planning.
    pub(crate) fn refs(&self) -> Result<PinnedRefs> {
        let refs = self.refs.iter();
        let refs = refs.map(|(name, pinned)| (name.clone(), Arc::new(pinned.clone())));
        PinnedRefs::new(refs.collect(), self.scope.own.clone()).map_err(stream_error)
    }

    async fn resolve(&mut self, reference: &str) -> Result<()> {
        if !self.refs.contains_key(reference) {
            let lake = self.engine.lake();
            let snapshot = match self.scope.working.get(reference) {
                Some(working) => working.clone(),
                None => lake.catalog().resolve(reference).await?,
            };
            let pinned = PinnedRef::new(lake.clone(), snapshot);
            self.refs.insert(reference.to_owned(), pinned);
        }
        Ok(())
    }

    /// Boxed, because views lead back here.
    fn load<'a>(
        &'a mut self,
        name: &'a FullName,
        path: &'a [FullName],
    ) -> BoxFuture<'a, Result<Cut>> {
        Box::pin(async move {
            let key = Key {
                namespace: name.namespace.clone(),
                name: name.table.clone(),
            };
            let pinned = self.pinned(name)?;
            if pinned.has(&key) {
                return Ok(Cut::Clean);
            }
            let snapshot = pinned.snapshot().clone();
            match snapshot.get(&key)? {
                Some(Content::IcebergTable { .. }) => {}
                Some(Content::View { .. }) => {
                    let view = self.engine.lake().view(&snapshot, &key).await?;
                    let Some(view) = views::load(self, name, &view, path).await? else {
                        return Ok(Cut::Gone);
                    };
                    self.pinned(name)?.add(key, view);
                    return Ok(Cut::Clean);
                }
                Some(Content::Model { .. }) => {
                    return Err(Error::invalid(format!("{key} is a model, not a table"))
                        .with_hint("models are applied by `predict`, not read by SQL"));
                }
                Some(Content::Namespace { .. }) | None => {
                    return Err(no_such_table(name, &snapshot)?);
                }
            }
            let hot = match self.hot_rows(name, &key, &snapshot) {
                HotCut::Rows(rows) => Some(rows),
                HotCut::Empty => None,
                HotCut::Gone => return Ok(Cut::Gone),
            };
            self.add_table(name, key, hot).await?;
            Ok(Cut::Clean)
        })
    }

    fn hot_rows(&self, name: &FullName, key: &Key, snapshot: &catalog::Snapshot) -> HotCut {
        // Only the branch's moving head has hot rows: a commit or a time is history, and a
        // working state stands still.
        let moving = !self.scope.working.contains_key(&name.reference);
        match self.engine.hot() {
            Some(hot) if moving && hot.branch() == name.reference => hot.rows_after(key, snapshot),
            _ => HotCut::Empty,
        }
    }

    async fn add_table(&mut self, name: &FullName, key: Key, hot: Option<HotRows>) -> Result<()> {
        let lake = self.engine.lake();
        let pinned = self.pinned(name)?;
        let table = lake.table(pinned.snapshot(), &key).await?;
        pinned.add(key, Arc::new(LakeTable::new(table, lake.store(), hot)));
        Ok(())
    }

    fn pinned(&mut self, name: &FullName) -> Result<&mut PinnedRef> {
        let pinned = self.refs.get_mut(&name.reference);
        pinned.ok_or_else(|| Error::internal("a ref was not resolved before its tables"))
    }
}
