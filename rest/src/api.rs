//! What every handler needs: the lake, the refs behind prefixes, and committing.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Change, CommitMeta, ErrorKind, RefInfo, RefKind, Result, Snapshot};
use lake::Lake;

use crate::error::{self, Failure};
use crate::{RestConfig, TokenCheck};

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    lake: Lake,
    config: RestConfig,
}

/// The ref a prefix or warehouse names: `team=try` is `team/try`.
pub(crate) fn reference(prefix: &str) -> String {
    prefix.replace('=', "/")
}

/// The prefix of a ref, the inverse of [`reference`].
pub(crate) fn prefix(reference: &str) -> String {
    reference.replace('/', "=")
}

impl Api {
    pub(crate) fn new(lake: Lake, config: RestConfig) -> Self {
        Self(Arc::new(Inner { lake, config }))
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.0.lake
    }

    pub(crate) fn check_token(&self) -> Option<&TokenCheck> {
        self.0.config.check_token.as_ref()
    }

    /// How clients reach the files unless they know better.
    pub(crate) fn defaults(&self) -> &BTreeMap<String, String> {
        &self.0.config.defaults
    }

    /// The keys that clients are given. A table's settings go before the client's own, so
    /// without keys there is nothing in them.
    pub(crate) fn credentials(&self) -> &BTreeMap<String, String> {
        &self.0.config.credentials
    }

    /// The state at the ref that `prefix` names; 404 when there is none.
    pub(crate) async fn snapshot(&self, prefix: &str) -> Result<Snapshot> {
        let spec = reference(prefix);
        let snapshot = self.lake().catalog().resolve(&spec).await;
        snapshot.map_err(|e| match e.kind() {
            ErrorKind::NotFound => error::no_such_warehouse(&e),
            _ => e,
        })
    }

    /// Commits `change` to the branch that `prefix` names; 404 when there is none, 403
    /// when it is a tag or a past commit.
    pub(crate) async fn commit(
        &self,
        prefix: &str,
        message: String,
        change: impl Change + 'static,
    ) -> Result<Snapshot, Failure> {
        let branch = self.branch(prefix).await?;
        let meta = CommitMeta::new(&self.0.config.author, message);
        let catalog = self.lake().catalog();
        let committed = catalog.commit(&branch.name, meta, Arc::new(change)).await;
        committed.map_err(Failure::of_commit)
    }

    /// The newest state of the branch that `prefix` names, as who goes on to write must see
    /// it: readers may be content with an older one.
    pub(crate) async fn head(&self, prefix: &str) -> Result<Snapshot> {
        let branch = self.branch(prefix).await?;
        self.lake().catalog().snapshot(branch.commit.id).await
    }

    async fn branch(&self, prefix: &str) -> Result<RefInfo> {
        let name = reference(prefix);
        match self.lake().catalog().reference(&name).await {
            Ok(found) if found.kind == RefKind::Branch => Ok(found),
            Ok(_) => Err(error::read_only(&name)),
            // Not the name of a ref, but perhaps of a commit.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                self.snapshot(prefix).await?;
                Err(error::read_only(&name))
            }
            Err(e) => Err(e),
        }
    }
}
