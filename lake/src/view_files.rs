//! Reading and writing the metadata files of views, as Iceberg's view specification
//! has them. They are immutable once written.

use std::sync::Arc;

use catalog::{Error, ErrorKind, Result};
use iceberg::spec::ViewMetadata;
use object_store::ObjectStoreExt;
use uuid::Uuid;

use crate::metadata::{TableFiles, version_of};

impl TableFiles {
    /// The view metadata at `location`; `Corrupt` for a file that is missing or holds
    /// something else.
    pub(crate) async fn view(&self, location: &str) -> Result<Arc<ViewMetadata>> {
        if let Some(metadata) = self.views().get(location) {
            return Ok(metadata);
        }
        let path = self.store().path(location)?;
        let store = self.store().object_store();
        let found = store.get(&path).await.map_err(|e| missing(location, e))?;
        let bytes = found.bytes().await?;
        let metadata = serde_json::from_slice(&bytes);
        let metadata: Arc<ViewMetadata> = metadata.map(Arc::new).map_err(|e| {
            Error::corrupt(format!("{location} holds no view metadata")).with_source(e)
        })?;
        self.views().insert(location, Arc::clone(&metadata), 1);
        Ok(metadata)
    }

    /// Writes `metadata` as the version after `previous` and returns its location.
    pub(crate) async fn write_view(
        &self,
        metadata: &ViewMetadata,
        previous: Option<&str>,
    ) -> Result<String> {
        let version = previous.map_or(0, |location| version_of(location) + 1);
        let (view, uuid) = (metadata.location(), Uuid::new_v4());
        let location = format!("{view}/metadata/{version:05}-{uuid}.metadata.json");
        let json = serde_json::to_vec(metadata)
            .map_err(|e| Error::internal("could not encode view metadata").with_source(e))?;
        let path = self.store().path(&location)?;
        self.store().object_store().put(&path, json.into()).await?;
        Ok(location)
    }
}

/// Views are read only where the catalog names them, so what is not there is lost.
fn missing(location: &str, error: object_store::Error) -> Error {
    match Error::from(error) {
        e if e.kind() == ErrorKind::NotFound => {
            Error::corrupt(format!("the view metadata {location} is missing"))
                .with_hint("restore it from a copy of the store")
                .with_source(e)
        }
        e => e,
    }
}
