//! What writers do to a lakehouse, at random.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use catalog::{
    Catalog, CommitId, Content, Error, ErrorKind, Key, KeysOnly, MAIN, MergeOptions, Operation,
    Result, Store,
};
use lake::{Append, Lake};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use uuid::Uuid;

use super::clocked::{Clocked, Random};
use crate::support::{NOVEMBER, meta, row, spec};

const BRANCHES: u64 = 50;
const TABLES: u64 = 4;

/// The lakehouse, and what its writers remember.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Clocked,
    pub(crate) random: Arc<Random>,
    /// Commits somebody has seen and may name again.
    hashes: Arc<Mutex<Vec<CommitId>>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            store: Clocked::new(seed),
            random: Arc::new(Random::new(seed ^ 0xfeed)),
            hashes: Arc::default(),
        }
    }

    /// The lake as a process that has just started sees it.
    pub(crate) async fn lake(&self) -> Lake {
        let store = Store::over(Arc::new(self.store.clone()), "memory://lake");
        Lake::new(Catalog::open(store).await.unwrap())
    }

    /// The same, looking on: no time passes.
    pub(crate) async fn quiet_lake(&self) -> Lake {
        let store = Store::over(Arc::new(self.store.quiet()), "memory://lake");
        Lake::new(Catalog::open(store).await.unwrap())
    }

    /// Some operations, each of which may fail as its user must expect.
    pub(crate) async fn write(self, operations: u64) {
        let lake = self.lake().await;
        for _ in 0..operations {
            match self.operation(&lake).await {
                Ok(()) => {}
                Err(e) if is_expected(&e) => {}
                Err(e) => panic!("{e}: {:?}", std::error::Error::source(&e)),
            }
        }
    }

    async fn operation(&self, lake: &Lake) -> Result<()> {
        let catalog = lake.catalog();
        let options = MergeOptions {
            author: "tester".into(),
            ..MergeOptions::default()
        };
        match self.random.below(100) {
            0..30 => self.append(lake).await,
            30..34 => self.drop_table(catalog).await,
            34..52 => {
                let (name, from) = (self.branch(), self.spec(catalog).await?);
                self.saw(catalog.create_branch(&name, &from, "tester").await?.id);
                Ok(())
            }
            52..66 => {
                let (from, to) = (self.spec(catalog).await?, self.live(catalog).await?);
                let report = catalog.merge(&from, &to, &options, &KeysOnly).await?;
                report.commit.into_iter().for_each(|id| self.saw(id));
                Ok(())
            }
            66..74 => {
                let name = self.live(catalog).await?;
                catalog.delete_branch(&name, "tester").await
            }
            74..82 => {
                let (name, to) = (self.live(catalog).await?, self.spec(catalog).await?);
                catalog.reset_branch(&name, &to, "tester").await.map(drop)
            }
            82..85 => {
                let name = format!("t{}", self.random.below(10));
                let at = self.spec(catalog).await?;
                catalog.create_tag(&name, &at, "tester").await.map(drop)
            }
            85..88 => {
                let name = format!("t{}", self.random.below(10));
                catalog.delete_tag(&name, "tester").await
            }
            88..94 => self.train(lake).await,
            94..97 => {
                let (commit, to) = (self.spec(catalog).await?, self.live(catalog).await?);
                catalog
                    .cherry_pick(&commit, &to, &options, &KeysOnly)
                    .await
                    .map(drop)
            }
            _ => {
                let (commit, on) = (self.spec(catalog).await?, self.live(catalog).await?);
                catalog
                    .revert(&commit, &on, &options, &KeysOnly)
                    .await
                    .map(drop)
            }
        }
    }

    /// Appends a row as ingest does, with its watermark, or as anybody does.
    async fn append(&self, lake: &Lake) -> Result<()> {
        let ingest = self.random.below(2) == 0;
        let branch = match ingest {
            true => MAIN.to_owned(),
            false => self.live(lake.catalog()).await?,
        };
        let key: Key = format!("pumps.t{}", self.random.below(TABLES)).parse()?;
        let head = lake.catalog().head(&branch).await?;
        if !head.contains(&key)? {
            lake.create_table(&branch, &key, &spec(), meta()).await?;
        }
        let head = lake.catalog().head(&branch).await?;
        let table = lake.table(&head, &key).await?;
        let row = row(NOVEMBER, "p1", self.random.below(1000) as i64);
        let files = lake.write(&table, vec![row]).await?;
        let append = Append {
            key,
            table_uuid: table.uuid(),
            partition_spec_id: table.metadata().default_partition_spec_id(),
            schema: table.metadata().current_schema().clone(),
            files,
        };
        let mut change = lake.append(vec![append]);
        if ingest {
            let watermark = head.watermark("node");
            change = change.with_watermark("node", watermark, watermark.unwrap_or(0) + 1);
        }
        let made = lake
            .catalog()
            .commit(&branch, meta(), Arc::new(change))
            .await?;
        self.saw(made.id());
        Ok(())
    }

    async fn drop_table(&self, catalog: &Catalog) -> Result<()> {
        let branch = self.live(catalog).await?;
        let head = catalog.head(&branch).await?;
        let entries = head.entries()?;
        if entries.is_empty() {
            return Ok(());
        }
        let key = self.random.pick(&entries).0.clone();
        let drop = vec![Operation::Delete { key }];
        let done = catalog
            .commit_operations(&branch, meta(), head.id(), drop)
            .await?;
        self.saw(done.id());
        Ok(())
    }

    /// Puts a model that says it was trained on what some ref is at.
    async fn train(&self, lake: &Lake) -> Result<()> {
        let catalog = lake.catalog();
        let from = self.live(catalog).await?;
        let trained_on = catalog.resolve_commit(&from).await?.id;
        let put = model(lake, self.random.below(u64::MAX), trained_on).await?;
        let branch = self.live(catalog).await?;
        let head = catalog.head(&branch).await?;
        let done = catalog
            .commit_operations(&branch, meta(), head.id(), vec![put])
            .await?;
        self.saw(done.id());
        Ok(())
    }

    fn saw(&self, id: CommitId) {
        self.hashes.lock().unwrap().push(id);
    }

    fn branch(&self) -> String {
        format!("b{}", self.random.below(BRANCHES))
    }

    async fn live(&self, catalog: &Catalog) -> Result<String> {
        let branches = catalog.branches().await?;
        Ok(self.random.pick(&branches).name.clone())
    }

    /// A branch, one of its ancestors, or a commit by its hash, whatever has become of it.
    async fn spec(&self, catalog: &Catalog) -> Result<String> {
        let hash = {
            let hashes = self.hashes.lock().unwrap();
            let named = self.random.below(4) == 0 && !hashes.is_empty();
            named.then(|| *self.random.pick(&hashes))
        };
        Ok(match (hash, self.random.below(4)) {
            (Some(hash), _) => hash.to_string(),
            (None, 0) => format!("{}~1", self.live(catalog).await?),
            (None, _) => self.live(catalog).await?,
        })
    }

    /// The counts of objects by the first part of their path: what to show when a check fails.
    pub(crate) fn overview<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for path in paths {
            let parts: Vec<_> = path.as_ref().split('/').take(2).collect();
            *counts.entry(parts.join("/")).or_default() += 1;
        }
        counts
    }
}

/// Writes a model that says it was trained on this commit; what puts it in the catalog.
pub(crate) async fn model(lake: &Lake, n: u64, trained_on: CommitId) -> Result<Operation> {
    let digest = |n: u64| format!("{n:016x}").repeat(4);
    let store = lake.store().object_store();
    let artifact = Path::from(format!("ml/faults/models/{}.ubj", digest(n)));
    store.put(&artifact, "trees".into()).await?;
    let manifest = Path::from(format!("ml/faults/models/{}.json", digest(n ^ 1)));
    let json = serde_json::json!({
        "artifact": {"path": artifact.to_string()},
        "lineage": {"commit": trained_on.to_string()},
    });
    store.put(&manifest, json.to_string().into()).await?;
    Ok(Operation::Put {
        key: "ml.faults".parse()?,
        content: Content::Model {
            uuid: Uuid::new_v4(),
            manifest_location: lake.store().location(&manifest),
        },
    })
}

fn is_expected(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict
            | ErrorKind::InvalidInput
    )
}
