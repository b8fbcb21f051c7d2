//! The object store a lakehouse lives in: a local folder, an S3 bucket, or memory.

mod config;
mod local;
mod pending;
mod s3;
mod tidy;
mod upload;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

pub use config::{S3Config, StoreConfig};
pub use tidy::Tidied;

use crate::{Error, Result};
use config::Place;

/// An opened object store, rooted at the lakehouse's base. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    lists_in_order: bool,
}

impl Store {
    /// Opens the store and checks that it answers, within seconds.
    ///
    /// A local folder is created where it is missing. `InvalidInput` for a URL that names no
    /// store, `NotFound` for a missing bucket, `PermissionDenied` for refused credentials or a
    /// folder that cannot be written, `Unavailable` for an endpoint that does not answer.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        match Place::parse(&config.url)? {
            Place::Memory => Ok(Self::memory()),
            Place::Folder(folder) => {
                let local = local::LocalStore::open(&folder).await?;
                let url = format!("file://{}", local.root());
                Ok(Self::new(Arc::new(local), &url, false))
            }
            Place::Bucket { bucket, prefix } => {
                let store = s3::open(&bucket, &prefix, &config.s3).await?;
                let url = match prefix.as_ref() {
                    "" => format!("s3://{bucket}"),
                    prefix => format!("s3://{bucket}/{prefix}"),
                };
                Ok(Self::new(store, &url, true))
            }
        }
    }

    /// A new, empty store in memory; it is gone with the last clone.
    pub fn memory() -> Self {
        Self::new(Arc::new(InMemory::new()), "memory://lake", true)
    }

    /// A store of another kind, or one that is watched or delayed: `url` is its absolute base.
    /// Its listings need not be sorted.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self::new(inner, url, false)
    }

    fn new(inner: Arc<dyn ObjectStore>, url: &str, lists_in_order: bool) -> Self {
        Self {
            inner,
            url: url.into(),
            lists_in_order,
        }
    }

    /// The same store, with every request going through what `wrap` makes of it, such as a
    /// store that counts requests.
    #[must_use]
    pub fn wrapped(
        mut self,
        wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>,
    ) -> Self {
        self.inner = wrap(self.inner);
        self
    }

    /// The object store; paths are relative to the base. A put with `PutMode::Create` is durable
    /// when it is reported done, and so is every put that was done before it.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner)
    }

    /// The absolute base without a slash at its end: `file:///abs/dir`, `s3://bucket/prefix` or
    /// `memory://lake`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The absolute URL of an object, as Iceberg metadata names it. Nothing is percent-encoded,
    /// because readers of Iceberg metadata take locations literally.
    pub fn location(&self, path: &Path) -> String {
        format!("{}/{path}", self.url)
    }

    /// The path of an absolute URL of this store; for a local folder also of a bare absolute
    /// file name. `InvalidInput` when it lies outside the base.
    pub fn path(&self, location: &str) -> Result<Path> {
        let outside = || {
            Error::invalid(format!("{location:?} is not in the lakehouse {}", self.url))
                .with_hint("a lakehouse reads only files below its own base")
        };
        let relative = self.relative(location).ok_or_else(outside)?;
        Path::parse(relative).map_err(|e| outside().with_source(e))
    }

    fn relative<'a>(&self, location: &'a str) -> Option<&'a str> {
        let below = |base: &str, location: &'a str| location.strip_prefix(base)?.strip_prefix('/');
        if let Some(relative) = below(&self.url, location) {
            return Some(relative);
        }
        let folder = self.url.strip_prefix("file://")?;
        below(folder, location.strip_prefix("file:").unwrap_or(location))
    }

    /// Whether a listing is sorted by name, so that its first page holds the first names.
    pub(crate) fn lists_in_order(&self) -> bool {
        self.lists_in_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_store(folder: &str) -> Store {
        Store::new(
            Arc::new(InMemory::new()),
            &format!("file://{folder}"),
            false,
        )
    }

    #[test]
    fn locations_and_paths_are_inverse() {
        let path = Path::parse("pumps/t-1/data/ts_day=2026-11-01/50% a.parquet").unwrap();
        for store in [Store::memory(), folder_store("/lake dir/x")] {
            let location = store.location(&path);
            assert_eq!(store.path(&location).unwrap(), path, "{location}");
        }
        let store = folder_store("/lake");
        assert_eq!(store.path("/lake/a/b").unwrap().as_ref(), "a/b");
        assert_eq!(store.path("file:/lake/a/b").unwrap().as_ref(), "a/b");
    }

    #[test]
    fn a_location_outside_the_base_is_refused() {
        let store = folder_store("/lake");
        for location in [
            "/etc/passwd",
            "file:///lakes/a",
            "/lake/../etc/passwd",
            "s3://lake/a",
            "lake/a",
            "",
        ] {
            let error = store.path(location).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{location}");
        }
    }
}
