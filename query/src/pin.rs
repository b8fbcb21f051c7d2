//! Pins a statement: every ref it names to one commit, and hot rows cut to match.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{Content, Error, Key, Result, Snapshot};
use lake::Lake;
use lake::hot::{HotBuffer, HotCut, HotRows};

use crate::catalogs::{PinnedRef, PinnedRefs};
use crate::error::stream_error;
use crate::names::{FullName, INFORMATION_SCHEMA, no_such_table};
use crate::scope::Scope;
use crate::table::LakeTable;

/// How long to chase a buffer that keeps dropping rows we have not seen committed.
const CHASE: Duration = Duration::from_secs(20);

/// Resolves every ref in `names` and the default ref once, and loads the tables named.
///
/// When the hot buffer has moved on since a head was read, all is read again, so that
/// no row is missed and none is seen twice.
///
/// # Errors
/// `NotFound` for a ref or table that is not there, `Unavailable` when commits keep
/// overtaking the reads.
pub(crate) async fn pin(
    lake: &Lake,
    hot: Option<&Arc<dyn HotBuffer>>,
    scope: &Scope,
    names: &[FullName],
) -> Result<PinnedRefs> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(pinned) = try_pin(lake, hot, scope, names).await? {
            return Ok(pinned);
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

/// `None` when the hot buffer has dropped rows that the heads read here lack.
async fn try_pin(
    lake: &Lake,
    hot: Option<&Arc<dyn HotBuffer>>,
    scope: &Scope,
    names: &[FullName],
) -> Result<Option<PinnedRefs>> {
    let mut refs = BTreeMap::new();
    let spoken = names.iter().map(|name| name.reference.as_str());
    for reference in std::iter::once(scope.default_ref.as_str()).chain(spoken) {
        if !refs.contains_key(reference) {
            let snapshot = match scope.working.get(reference) {
                Some(working) => working.clone(),
                None => lake.catalog().resolve(reference).await?,
            };
            refs.insert(reference.to_owned(), PinnedRef::new(lake.clone(), snapshot));
        }
    }
    for name in names
        .iter()
        .filter(|name| name.namespace != INFORMATION_SCHEMA)
    {
        let Some(pinned) = refs.get_mut(&name.reference) else {
            continue;
        };
        let key = find(name, pinned.snapshot())?;
        // Only the branch's moving head has hot rows: a commit or a time is history, and a
        // working state stands still.
        let moving = !scope.working.contains_key(&name.reference);
        let rows = match hot.filter(|hot| moving && hot.branch() == name.reference) {
            Some(hot) => cut(hot.as_ref(), &key, pinned.snapshot()),
            None => Cut::Rows(None),
        };
        let Cut::Rows(rows) = rows else {
            return Ok(None);
        };
        let table = lake.table(pinned.snapshot(), &key).await?;
        pinned.add(LakeTable::new(table, lake.store(), rows));
    }
    let refs = refs
        .into_iter()
        .map(|(name, pinned)| (name, Arc::new(pinned)));
    let refs = PinnedRefs::new(refs.collect(), scope.own.clone()).map_err(stream_error)?;
    Ok(Some(refs))
}

enum Cut {
    Rows(Option<HotRows>),
    Gone,
}

fn cut(hot: &dyn HotBuffer, key: &Key, snapshot: &Snapshot) -> Cut {
    match hot.rows_after(key, snapshot) {
        HotCut::Rows(rows) => Cut::Rows(Some(rows)),
        HotCut::Empty => Cut::Rows(None),
        HotCut::Gone => Cut::Gone,
    }
}

/// The key that `name` means in `snapshot`, when it is a table.
fn find(name: &FullName, snapshot: &Snapshot) -> Result<Key> {
    let key = Key {
        namespace: name.namespace.clone(),
        name: name.table.clone(),
    };
    match snapshot.get(&key)? {
        Some(Content::IcebergTable { .. }) => Ok(key),
        Some(Content::View { .. }) => Err(Error::unsupported(format!(
            "{key} is a view, and views cannot be queried yet"
        ))),
        Some(Content::Model { .. }) => {
            Err(Error::invalid(format!("{key} is a model, not a table"))
                .with_hint("models are applied by `predict`, not read by SQL"))
        }
        Some(Content::Namespace { .. }) => {
            Err(Error::invalid(format!("{key} is a namespace, not a table")))
        }
        None => Err(no_such_table(name, snapshot)?),
    }
}
