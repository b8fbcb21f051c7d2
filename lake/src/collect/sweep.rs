//! Sweeping: deleting what was condemned a grace period ago and still nothing reaches.

use std::collections::BTreeMap;

use catalog::collect::{Condemned, List, ListKind, PathSet};
use catalog::{Error, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::CollectProgress;
use super::kind::Kind;
use super::survey::Survey;

const PARALLEL_CHECKS: usize = 32;
const PARALLEL_LOGS: usize = 16;

impl Survey<'_> {
    /// Works off the lists of all ripe runs. A list goes when its objects are gone, so a sweep
    /// that is killed begins again with the list it was at.
    pub(super) async fn sweep(&mut self) -> Result<()> {
        let ripe = self.ripe();
        if ripe.is_empty() {
            return Ok(());
        }
        let stale = self.stale_entries().await?;
        let stale: PathSet = stale.iter().map(|entry| &entry.object.location).collect();
        let store = self.store();
        for run in ripe {
            for list in &run.lists {
                let objects = list.read(store.as_ref()).await?;
                let doomed = self.doomed(list, objects, &stale).await?;
                self.delete(list.kind, &doomed).await?;
                if !self.options.dry_run {
                    list.remove(store.as_ref()).await?;
                }
            }
            if !self.options.dry_run {
                run.remove(store.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// Those of a list's objects that are still to go, and are there.
    async fn doomed(
        &self,
        list: &List,
        objects: Vec<Condemned>,
        stale: &PathSet,
    ) -> Result<Vec<(Path, u64)>> {
        let mut doomed = Vec::with_capacity(objects.len());
        for object in objects {
            let path = object.path()?;
            let goes = match list.kind {
                ListKind::Entries | ListKind::Deletions => stale.contains(&path),
                ListKind::Files | ListKind::Commits => !self.marker.reached().contains(&path),
            };
            if goes {
                doomed.push((path, object));
            }
        }
        let store = self.store();
        futures::stream::iter(doomed)
            .map(|(path, object)| {
                let store = store.as_ref();
                async move {
                    let there = is_same(store, &path, &object).await?;
                    Ok::<_, Error>(there.then_some((path, object.size)))
                }
            })
            .buffered(PARALLEL_CHECKS)
            .try_filter_map(|found| async move { Ok(found) })
            .try_collect()
            .await
    }

    async fn delete(&mut self, list: ListKind, doomed: &[(Path, u64)]) -> Result<()> {
        for (path, size) in doomed {
            let kind = self.marker.folders().kind(path).unwrap_or(Kind::DataFile);
            self.report.deleted.add(kind, *size);
        }
        if self.options.dry_run {
            return Ok(());
        }
        let paths: Vec<_> = doomed.iter().map(|(path, _)| path.clone()).collect();
        let store = self.store();
        match list {
            ListKind::Entries | ListKind::Deletions => {
                delete_entries(store.as_ref(), paths).await?;
            }
            ListKind::Files | ListKind::Commits => {
                delete_objects(store.as_ref(), paths).await?;
            }
        }
        let total = self.report.deleted.total().objects;
        (self.progress)(CollectProgress::Deleting(total));
        Ok(())
    }
}

async fn delete_objects(store: &dyn ObjectStore, paths: Vec<Path>) -> Result<()> {
    let paths = futures::stream::iter(paths).map(Ok).boxed();
    let mut deleted = store.delete_stream(paths);
    while let Some(done) = deleted.next().await {
        gone(done)?;
    }
    Ok(())
}

/// Deletes ref entries, those of one ref strictly in the order given: a log has no gaps.
async fn delete_entries(store: &dyn ObjectStore, paths: Vec<Path>) -> Result<()> {
    let mut logs: BTreeMap<String, Vec<Path>> = BTreeMap::new();
    for path in paths {
        let name = path.parts().nth(2).map(|part| part.as_ref().to_owned());
        logs.entry(name.unwrap_or_default()).or_default().push(path);
    }
    futures::stream::iter(logs.into_values().map(Ok))
        .try_for_each_concurrent(PARALLEL_LOGS, |log| async move {
            for path in log {
                gone(store.delete(&path).await)?;
            }
            Ok(())
        })
        .await
}

/// What is gone already is as good: another collector may be at it too.
fn gone<T>(deleted: object_store::Result<T>) -> Result<()> {
    match deleted {
        Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the object is still the one that was condemned, and not written anew since.
async fn is_same(store: &dyn ObjectStore, path: &Path, condemned: &Condemned) -> Result<bool> {
    match store.head(path).await {
        // Some stores round what they say of one object, down, and not what they list.
        Ok(found) => Ok(found.last_modified <= condemned.modified),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
