//! Condemning: listing the store, and writing down what nothing reaches.

use catalog::Result;
use catalog::collect::{Condemned, ListKind, Run};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::kind::{Kind, is_metadata};
use super::survey::Survey;
use super::{CollectProgress, delta};

impl Survey<'_> {
    /// Lists the whole store and writes down what nothing reaches.
    pub(super) async fn list_and_condemn(&mut self) -> Result<()> {
        let store = self.store();
        let run = self.own.clone();
        let mut lists = Lists::new(run.as_ref());
        self.condemn_entries(&mut lists).await?;
        let top = store.list_with_delimiter(None).await?;
        for object in top.objects {
            self.condemn(&object, &mut lists).await?;
        }
        for folder in top.common_prefixes {
            self.condemn_in(&folder, &mut lists).await?;
        }
        lists.finish(store.as_ref()).await?;
        let Some(run) = run else {
            return Ok(());
        };
        self.collector.record_squashed(&self.walk).await?;
        if self.report.condemned.is_empty() {
            return run.remove(store.as_ref()).await;
        }
        let completed = run.complete(store.as_ref()).await?;
        let due = completed + delta(self.options.grace);
        self.report.due = self.report.due.max(Some(due));
        Ok(())
    }

    /// Condemns in one of the folders at the top. Others may have put objects there whose names
    /// no path can hold, such as `logs//x`: the rest of such a folder is left alone.
    async fn condemn_in(&mut self, folder: &Path, lists: &mut Lists) -> Result<()> {
        let mut listing = self.store().list(Some(folder));
        loop {
            match listing.try_next().await {
                Ok(Some(object)) => self.condemn(&object, lists).await?,
                Ok(None) => return Ok(()),
                Err(object_store::Error::InvalidPath { source }) => {
                    tracing::warn!(%folder, %source, "a name in the store cannot be read: what is listed after it is left alone");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes an object down, if nothing reaches it.
    async fn condemn(&mut self, object: &ObjectMeta, lists: &mut Lists) -> Result<()> {
        self.listed += 1;
        if self.listed.is_multiple_of(1000) {
            (self.progress)(CollectProgress::Listing(self.listed));
        }
        let unproven = self.marker.folders().unproven(&object.location);
        if let Some(folder) = unproven.map(str::to_owned) {
            let ours = self.holds_metadata(&folder).await?;
            self.marker.folders().prove(folder, ours);
        }
        let Some(kind) = self.judge(object) else {
            return Ok(());
        };
        let list = match kind {
            Kind::Commit | Kind::Checkpoint => ListKind::Commits,
            _ => ListKind::Files,
        };
        self.report.condemned.add(kind, object.size);
        lists.add(self.store().as_ref(), list, object).await
    }

    /// Whether there is table metadata of our naming in the folder, which no commit names.
    async fn holds_metadata(&self, folder: &str) -> Result<bool> {
        let folder = Path::from(format!("{folder}/metadata"));
        let mut listing = self.store().list(Some(&folder));
        loop {
            match listing.try_next().await {
                Ok(Some(object)) if object.location.filename().is_some_and(is_metadata) => {
                    return Ok(true);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(object_store::Error::InvalidPath { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What an object is, when it is to be condemned.
    fn judge(&mut self, object: &ObjectMeta) -> Option<Kind> {
        let path = &object.location;
        let Some(kind) = self.marker.folders().kind(path) else {
            if !path.as_ref().starts_with("_catalog/") {
                self.report.foreign.add(object.size);
            }
            return None;
        };
        if kind == Kind::RefEntry || self.marker.reached().contains(path) {
            return None;
        }
        self.judge_age(kind, object)
    }

    fn judge_age(&mut self, kind: Kind, object: &ObjectMeta) -> Option<Kind> {
        let path = &object.location;
        if self.runs.swept.contains(path) {
            return None;
        }
        if self.runs.waiting.contains(path) {
            self.report.waiting.add(kind, object.size);
            return None;
        }
        if object.last_modified > self.now - delta(self.options.grace) {
            self.report.young.add(kind, object.size);
            return None;
        }
        Some(kind)
    }

    async fn condemn_entries(&mut self, lists: &mut Lists) -> Result<()> {
        let store = self.store();
        for entry in self.stale_entries().await? {
            if let Some(kind) = self.judge_age(Kind::RefEntry, &entry.object) {
                self.report.condemned.add(kind, entry.object.size);
                let list = match entry.deletion {
                    true => ListKind::Deletions,
                    false => ListKind::Entries,
                };
                lists.add(store.as_ref(), list, &entry.object).await?;
            }
        }
        Ok(())
    }
}

/// The lists of a mark; in a dry run nothing is written.
struct Lists(Vec<(ListKind, catalog::collect::ListWriter)>);

impl Lists {
    fn new(run: Option<&Run>) -> Self {
        let kinds = [
            ListKind::Entries,
            ListKind::Deletions,
            ListKind::Files,
            ListKind::Commits,
        ];
        let writers = run.map(|run| kinds.map(|kind| (kind, run.writer(kind))));
        Self(writers.into_iter().flatten().collect())
    }

    async fn add(
        &mut self,
        store: &dyn ObjectStore,
        kind: ListKind,
        object: &ObjectMeta,
    ) -> Result<()> {
        match self.0.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, writer)) => writer.add(store, Condemned::from(object)).await,
            None => Ok(()),
        }
    }

    async fn finish(self, store: &dyn ObjectStore) -> Result<()> {
        for (_, writer) in self.0 {
            writer.finish(store).await?;
        }
        Ok(())
    }
}
