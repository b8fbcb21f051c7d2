//! What the names in a statement mean: defaults, and states of refs that are not committed.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use catalog::Snapshot;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;

use crate::names::FullName;

/// Catalog and schema of [`Scope::own`] tables; `$` keeps them out of users' ways.
pub(crate) const OWN: &str = "$own";

/// What the names in one statement mean.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// The ref of table names without one.
    pub(crate) default_ref: String,
    /// The namespace of bare table names.
    pub(crate) default_namespace: String,
    /// States to read instead of a ref's own, by the name of the ref: the base and the
    /// uncommitted changes of a transaction or a write. Hot rows are not added to them.
    pub(crate) working: BTreeMap<String, Snapshot>,
    /// Tables of this statement only, read as `"$own"."$own".name`.
    pub(crate) own: HashMap<String, Arc<dyn TableProvider>>,
}

impl Scope {
    /// `name` with every part filled in.
    pub(crate) fn full(&self, name: &TableReference) -> FullName {
        FullName::new(name, &self.default_ref, &self.default_namespace)
    }

    /// Whether `name` is one of [`Scope::own`].
    pub(crate) fn owns(&self, name: &TableReference) -> bool {
        name.catalog() == Some(OWN) && self.own.contains_key(name.table())
    }
}
