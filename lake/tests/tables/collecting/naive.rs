//! Reachability computed the plain way, sharing no code with the collector: for every commit in
//! the history of every root, every file of every table and model of its whole state.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use catalog::{Catalog, CommitId, Content, ErrorKind};
use chrono::{DateTime, Utc};
use iceberg::spec::{FormatVersion, Manifest, ManifestList};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::clocked::Clocked;

/// What each metadata file or model manifest needs: they never change.
#[derive(Default)]
pub(crate) struct Naive {
    needs: HashMap<String, (BTreeSet<Path>, Option<CommitId>)>,
    /// Every ref entry ever seen, by its path: when it was written, and what it names.
    entries: BTreeMap<Path, (DateTime<Utc>, Option<CommitId>)>,
}

impl Naive {
    /// Everything that what refs were at since `cutoff` need.
    pub(crate) async fn reachable(
        &mut self,
        store: &Clocked,
        catalog: &Catalog,
        cutoff: DateTime<Utc>,
    ) -> BTreeSet<Path> {
        let mut found = BTreeSet::from([Path::from("_catalog/base.json")]);
        let mut open = self.roots(store, cutoff, &mut found).await;
        let heads: BTreeSet<_> = open.iter().copied().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let commit = catalog.resolve_commit(&id.to_string()).await.unwrap();
            open.extend(commit.parent.into_iter().chain(commit.merge_parent));
            let hash = id.to_string();
            found.insert(Path::from(format!(
                "_catalog/commits/{}/{hash}.json",
                &hash[..2]
            )));
            if let Some(name) = &commit.checkpoint {
                found.extend(checkpoint(store, name).await);
            }
            let resolved = match heads.contains(&id) {
                // Whatever names it, a ref's state is readable.
                true => catalog.snapshot(id).await,
                false => catalog.resolve(&hash).await,
            };
            let snapshot = match resolved {
                Ok(snapshot) => snapshot,
                Err(e) if e.kind() == ErrorKind::NotFound && e.message().contains("squashed") => {
                    continue;
                }
                Err(e) => panic!("{id} is not readable: {e}"),
            };
            for (_, content) in snapshot.entries().unwrap() {
                let (files, trained) = self.needs(store, catalog, &content).await;
                found.extend(files.iter().cloned());
                open.extend(*trained);
            }
        }
        found
    }

    /// The commits that refs were at since `cutoff`; the entries that say so are needed too.
    async fn roots(
        &mut self,
        store: &Clocked,
        cutoff: DateTime<Utc>,
        found: &mut BTreeSet<Path>,
    ) -> Vec<CommitId> {
        for object in store.all().await {
            let path = object.location;
            // A name that is used again begins again at the first number.
            let seen = self.entries.get(&path);
            let seen = seen.is_some_and(|(begun, _)| *begun == object.last_modified);
            if !seen && path.as_ref().starts_with("_catalog/refs/") {
                let entry: Value = serde_json::from_slice(&read(store, &path).await).unwrap();
                let commit = entry["commit"].as_str().map(|id| id.parse().unwrap());
                self.forget_log_before(&path, object.last_modified);
                self.entries.insert(path, (object.last_modified, commit));
            }
        }
        let mut roots = Vec::new();
        let (mut name, mut ended) = (String::new(), None);
        // Those of one ref follow each other, the newest first.
        for (path, (begun, commit)) in &self.entries {
            let of = path.parts().nth(2).unwrap().as_ref().to_owned();
            if of != name {
                (name, ended) = (of, None);
            }
            let deleted_long_ago = commit.is_none() && *begun < cutoff;
            if ended.is_none_or(|ended| ended >= cutoff) && !deleted_long_ago {
                found.insert(path.clone());
                roots.extend(*commit);
            }
            ended = Some(*begun);
        }
        roots
    }

    /// An entry that is younger than those numbered after it begins the log of a name anew.
    fn forget_log_before(&mut self, first: &Path, begun: DateTime<Utc>) {
        let name = |path: &Path| path.parts().nth(2).unwrap().as_ref().to_owned();
        self.entries
            .retain(|path, (time, _)| path >= first || *time >= begun || name(path) != name(first));
    }

    async fn needs(
        &mut self,
        store: &Clocked,
        catalog: &Catalog,
        content: &Content,
    ) -> &(BTreeSet<Path>, Option<CommitId>) {
        let (location, model) = match content {
            Content::IcebergTable {
                metadata_location, ..
            } => (metadata_location, false),
            Content::Model {
                manifest_location, ..
            } => (manifest_location, true),
            other => panic!("no {} here", other.type_name()),
        };
        if !self.needs.contains_key(location) {
            let path = catalog.store().path(location).unwrap();
            let json: Value = serde_json::from_slice(&read(store, &path).await).unwrap();
            let needs = match model {
                true => model_needs(path, &json),
                false => (table_needs(store, catalog, path, &json).await, None),
            };
            self.needs.insert(location.clone(), needs);
        }
        &self.needs[location]
    }
}

fn model_needs(path: Path, json: &Value) -> (BTreeSet<Path>, Option<CommitId>) {
    let artifact = Path::from(json["artifact"]["path"].as_str().unwrap());
    let commit = json["lineage"]["commit"].as_str().unwrap();
    (BTreeSet::from([path, artifact]), commit.parse().ok())
}

async fn table_needs(
    store: &Clocked,
    catalog: &Catalog,
    path: Path,
    json: &Value,
) -> BTreeSet<Path> {
    let mut needs = BTreeSet::from([path]);
    for snapshot in json["snapshots"].as_array().into_iter().flatten() {
        let list = catalog
            .store()
            .path(snapshot["manifest-list"].as_str().unwrap())
            .unwrap();
        let bytes = read(store, &list).await;
        let parsed = ManifestList::parse_with_version(&bytes, FormatVersion::V2).unwrap();
        needs.insert(list);
        for manifest in parsed.entries() {
            let path = catalog.store().path(&manifest.manifest_path).unwrap();
            let parsed = Manifest::parse_avro(&read(store, &path).await).unwrap();
            needs.insert(path);
            for entry in parsed.entries().iter().filter(|entry| entry.is_alive()) {
                needs.insert(catalog.store().path(entry.file_path()).unwrap());
            }
        }
    }
    needs
}

async fn checkpoint(store: &Clocked, name: &str) -> Option<Path> {
    let all = store.all().await.into_iter().map(|object| object.location);
    let mut checkpoints = all.filter(|path| path.as_ref().starts_with("_catalog/checkpoints/"));
    checkpoints.find(|path| path.as_ref().contains(name))
}

async fn read(store: &Clocked, path: &Path) -> bytes::Bytes {
    let store: &dyn ObjectStore = store;
    let got = store.get(path).await;
    got.unwrap_or_else(|e| panic!("{path} is reachable and gone: {e}"))
        .bytes()
        .await
        .unwrap()
}
