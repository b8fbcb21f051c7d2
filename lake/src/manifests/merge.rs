//! Manifests are merged in tiers, like the levels of a log-structured tree: as soon as
//! [`FANOUT`] manifests of about the same size have gathered they become one of the
//! next size. An entry is so rewritten at most [`LAST_TIER`] times in a table's life and
//! a commit costs the same however old the table is, while a manifest list holds some
//! fifty manifests and one more for every few thousand files.

use std::collections::BTreeMap;

use catalog::Result;
use iceberg::spec::{ManifestContentType, ManifestFile};

use super::{MOST_ENTRIES, Manifests};

/// Manifests of one tier that are merged into one of the next.
const FANOUT: usize = 16;
/// Manifests of this tier (4,096 files and more) stay as they are.
const LAST_TIER: u32 = 3;

impl Manifests<'_> {
    /// `current` with every full tier merged, manifests of data and of deletes apart. Manifests without live
    /// files are left out.
    pub(crate) async fn merged(&self, current: Vec<ManifestFile>) -> Result<Vec<ManifestFile>> {
        let mut tiers: BTreeMap<(i32, bool, u32), Vec<ManifestFile>> = BTreeMap::new();
        let mut merged = Vec::with_capacity(current.len());
        for manifest in current.into_iter().filter(lives) {
            match tier(&manifest) {
                Some(tier) => tiers
                    .entry((manifest.partition_spec_id, has_deletes(&manifest), tier))
                    .or_default()
                    .push(manifest),
                None => merged.push(manifest),
            }
        }
        for ((spec_id, deletes, _), manifests) in tiers {
            let content = match deletes {
                true => ManifestContentType::Deletes,
                false => ManifestContentType::Data,
            };
            match manifests.len() < FANOUT {
                true => merged.extend(manifests),
                false => merged.extend(self.merge(spec_id, content, &manifests).await?),
            }
        }
        Ok(merged)
    }

    /// The live entries of `manifests`, in as few manifests as hold them.
    async fn merge(
        &self,
        spec_id: i32,
        content: ManifestContentType,
        manifests: &[ManifestFile],
    ) -> Result<Vec<ManifestFile>> {
        let mut live = Vec::new();
        for entries in self.files.manifests(manifests).await? {
            live.extend(entries.iter().filter(|entry| entry.is_alive()).cloned());
        }
        tracing::debug!(
            manifests = manifests.len(),
            files = live.len(),
            "merging manifests"
        );
        let mut merged = Vec::new();
        for entries in live.chunks(MOST_ENTRIES) {
            let mut writer = self.writer(spec_id, content)?;
            for entry in entries {
                writer.keep(entry)?;
            }
            merged.push(self.write(writer).await?);
        }
        Ok(merged)
    }
}

fn has_deletes(manifest: &ManifestFile) -> bool {
    manifest.content == ManifestContentType::Deletes
}

/// Writers of old formats may leave the counts out.
fn lives(manifest: &ManifestFile) -> bool {
    manifest.added_files_count != Some(0) || manifest.existing_files_count != Some(0)
}

/// The size class of a manifest that may be merged.
fn tier(manifest: &ManifestFile) -> Option<u32> {
    let added = manifest.added_files_count.unwrap_or(0);
    let files = added + manifest.existing_files_count.unwrap_or(0);
    let tier = files.max(1).ilog(FANOUT as u32);
    (tier < LAST_TIER).then_some(tier)
}
