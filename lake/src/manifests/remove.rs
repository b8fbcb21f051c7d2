//! Taking files out of manifests: only the manifests that list one of them are written
//! anew, with the others as existing entries and these as deleted ones.

use std::collections::HashSet;

use catalog::{Error, Result};
use iceberg::spec::{
    DataContentType, ManifestContentType, ManifestEntry, ManifestEntryRef, ManifestFile,
};

use super::Manifests;
use crate::metadata::ManifestEntries;

/// A file that was taken out, with the partition spec it follows.
pub(crate) struct Removed {
    pub(crate) entry: ManifestEntryRef,
    pub(crate) spec_id: i32,
}

/// What is left of a manifest list.
#[derive(Default)]
pub(crate) struct Retained {
    pub(crate) untouched: Vec<ManifestFile>,
    pub(crate) rewritten: Vec<ManifestFile>,
    pub(crate) removed: Vec<Removed>,
}

impl Manifests<'_> {
    /// `current` without the data files and delete files of these paths.
    ///
    /// # Errors
    /// `Conflict` when one of them is not there (any more).
    pub(crate) async fn without(
        &self,
        current: &[ManifestFile],
        data: &HashSet<String>,
        deletes: &HashSet<String>,
    ) -> Result<Retained> {
        let mut retained = Retained::default();
        let paths = |manifest: &ManifestFile| match manifest.content {
            ManifestContentType::Data => data,
            ManifestContentType::Deletes => deletes,
        };
        let (searched, untouched): (Vec<_>, Vec<_>) = current
            .iter()
            .cloned()
            .partition(|manifest| !paths(manifest).is_empty());
        retained.untouched = untouched;
        let entries = self.files.manifests(&searched).await?;
        for (manifest, entries) in searched.into_iter().zip(entries) {
            let paths = paths(&manifest);
            if entries.iter().any(|entry| goes(entry, paths)) {
                self.shorten(&manifest, &entries, paths, &mut retained)
                    .await?;
            } else {
                retained.untouched.push(manifest);
            }
        }
        check_all_found(&retained.removed, data, deletes)?;
        Ok(retained)
    }

    async fn shorten(
        &self,
        manifest: &ManifestFile,
        entries: &ManifestEntries,
        paths: &HashSet<String>,
        retained: &mut Retained,
    ) -> Result<()> {
        let spec_id = manifest.partition_spec_id;
        let mut writer = self.writer(spec_id, manifest.content)?;
        for entry in entries.iter().filter(|entry| entry.is_alive()) {
            if !paths.contains(entry.file_path()) {
                writer.keep(entry)?;
                continue;
            }
            writer.remove(entry)?;
            let entry = ManifestEntryRef::clone(entry);
            retained.removed.push(Removed { entry, spec_id });
        }
        retained.rewritten.push(self.write(writer).await?);
        Ok(())
    }
}

fn goes(entry: &ManifestEntry, paths: &HashSet<String>) -> bool {
    entry.is_alive() && paths.contains(entry.file_path())
}

fn check_all_found(
    removed: &[Removed],
    data: &HashSet<String>,
    deletes: &HashSet<String>,
) -> Result<()> {
    let is_data = |removed: &&Removed| removed.entry.content_type() == DataContentType::Data;
    let found = |wanted: bool| {
        let found = removed.iter().filter(move |file| is_data(file) == wanted);
        found
            .map(|removed| removed.entry.file_path())
            .collect::<HashSet<_>>()
    };
    let (found_data, found_deletes) = (found(true), found(false));
    let gone = data.iter().find(|path| !found_data.contains(path.as_str()));
    let gone = gone.or_else(|| {
        deletes
            .iter()
            .find(|path| !found_deletes.contains(path.as_str()))
    });
    match gone {
        None => Ok(()),
        Some(path) => Err(Error::conflict(format!(
            "file {path} was removed from the table by another commit"
        ))
        .with_hint("read the table again and repeat the change")),
    }
}
