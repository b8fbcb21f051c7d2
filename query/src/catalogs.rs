//! What DataFusion sees as catalogs: the refs one statement is pinned to, and nothing else.
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{CommitId, Content, Key, Snapshot};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::error::Result;
use datafusion::logical_expr::TableType;
use lake::Lake;

use crate::error::into_datafusion;
use crate::scope::OWN;
use crate::table::{LakeTable, without_metadata};
use crate::views::ListedView;

/// One ref at one commit, with the tables a statement names.
#[derive(Clone)]
pub(crate) struct PinnedRef {
    lake: Lake,
    snapshot: Snapshot,
    tables: HashMap<Key, Arc<dyn TableProvider>>,
}

impl PinnedRef {
    pub(crate) fn new(lake: Lake, snapshot: Snapshot) -> Self {
        PinnedRef {
            lake,
            snapshot,
            tables: HashMap::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.tables.contains_key(key)
    }

    /// Adds a table or view that the statement reads.
    pub(crate) fn add(&mut self, key: Key, table: Arc<dyn TableProvider>) {
        self.tables.insert(key, table);
    }

    /// Loads what nobody named, for `information_schema`: its schema only, no hot rows.
    async fn load(&self, key: &Key, kind: TableType) -> catalog::Result<Arc<dyn TableProvider>> {
        if kind == TableType::View {
            let view = self.lake.view(&self.snapshot, key).await?;
            return Ok(Arc::new(ListedView {
                schema: without_metadata(&view.schema),
                sql: view.sql.clone(),
            }));
        }
        let table = self.lake.table(&self.snapshot, key).await?;
        Ok(Arc::new(LakeTable::new(table, self.lake.store(), None)))
    }
}

impl fmt::Debug for PinnedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedRef")
            .field("commit", &self.snapshot.commit().id.to_string())
            .finish_non_exhaustive()
    }
}

/// What SQL reads in `snapshot`, tables and views.
pub(crate) fn readable(snapshot: &Snapshot) -> catalog::Result<Vec<(Key, TableType)>> {
    Ok(readable_of(snapshot.entries()?))
}

fn readable_of(entries: Vec<(Key, Content)>) -> Vec<(Key, TableType)> {
    let readable = entries.into_iter();
    let readable = readable.filter_map(|(key, content)| Some((key, kind(&content)?)));
    readable.collect()
}

fn kind(content: &Content) -> Option<TableType> {
    match content {
        Content::IcebergTable { .. } => Some(TableType::Base),
        Content::View { .. } => Some(TableType::View),
        Content::Model { .. } | Content::Namespace { .. } => None,
    }
}

/// What DataFusion asks for where it takes no error; a state that cannot be read is nearly
/// always found earlier, when the statement is pinned.
fn or_none<T: Default>(read: catalog::Result<T>) -> T {
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "the state of a ref cannot be read");
        T::default()
    })
}

/// All refs of one statement, by the name they are written with.
#[derive(Debug, Default)]
pub(crate) struct PinnedRefs {
    refs: BTreeMap<String, Arc<PinnedRef>>,
    own: Option<Arc<MemoryCatalogProvider>>,
}

impl PinnedRefs {
    /// `own` are tables of the statement itself, outside of any ref.
    pub(crate) fn new(
        refs: BTreeMap<String, Arc<PinnedRef>>,
        own: HashMap<String, Arc<dyn TableProvider>>,
    ) -> Result<Self> {
        if own.is_empty() {
            return Ok(PinnedRefs { refs, own: None });
        }
        let schema = MemorySchemaProvider::new();
        for (name, table) in own {
            schema.register_table(name, table)?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(OWN, Arc::new(schema))?;
        let own = Some(Arc::new(catalog));
        Ok(PinnedRefs { refs, own })
    }

    /// The state of one ref.
    pub(crate) fn snapshot(&self, reference: &str) -> Option<&Snapshot> {
        self.refs.get(reference).map(|pinned| pinned.snapshot())
    }

    /// The commit of each ref.
    pub(crate) fn commits(&self) -> BTreeMap<String, CommitId> {
        let refs = self.refs.iter();
        refs.map(|(name, pinned)| (name.clone(), pinned.snapshot.commit().id))
            .collect()
    }
}

impl CatalogProviderList for PinnedRefs {
    fn as_any(&self) -> &dyn Any {
        self
    }

    /// Nothing is ever added: the list belongs to one statement.
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.refs.keys().cloned().collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        if let (OWN, Some(own)) = (name, &self.own) {
            return Some(Arc::clone(own) as _);
        }
        let pinned = Arc::clone(self.refs.get(name)?);
        Some(Arc::new(RefCatalog(pinned)))
    }
}

#[derive(Debug)]
struct RefCatalog(Arc<PinnedRef>);

impl CatalogProvider for RefCatalog {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema_names(&self) -> Vec<String> {
        or_none(self.0.snapshot.namespaces())
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let empty = or_none(self.0.snapshot.entries_in(name)).is_empty();
        if empty
            && !or_none(self.0.snapshot.namespaces())
                .iter()
                .any(|n| n == name)
        {
            return None;
        }
        Some(Arc::new(Namespace {
            pinned: Arc::clone(&self.0),
            name: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct Namespace {
    pinned: Arc<PinnedRef>,
    name: String,
}

impl Namespace {
    /// The key of `table` and what it is, when this namespace has it.
    fn find(&self, table: &str) -> Option<(Key, TableType)> {
        let key = Key {
            namespace: self.name.clone(),
            name: table.to_owned(),
        };
        let content = or_none(self.pinned.snapshot.get(&key))?;
        Some((key, kind(&content)?))
    }
}

#[async_trait]
impl SchemaProvider for Namespace {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_names(&self) -> Vec<String> {
        let entries = or_none(self.pinned.snapshot.entries_in(&self.name));
        let keys = readable_of(entries).into_iter();
        keys.map(|(key, _)| key.name).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some((key, kind)) = self.find(name) else {
            return Ok(None);
        };
        let table = match self.pinned.tables.get(&key) {
            Some(table) => Arc::clone(table),
            None => {
                let loaded = self.pinned.load(&key, kind).await;
                loaded.map_err(into_datafusion)?
            }
        };
        Ok(Some(table))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.find(name).map(|(_, kind)| kind))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}
