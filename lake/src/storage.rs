//! Iceberg's file access over the lake's one object store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::Store;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// Iceberg's view of `store`. Locations are absolute URLs under the store's base.
pub(crate) fn file_io(store: Store) -> FileIO {
    let storage = LakeStorage { store: Some(store) };
    FileIOBuilder::new(Arc::new(storage)).build()
}

/// Both the storage and its factory: it is built whole and handed out as it is.
///
/// Iceberg wants storages to be serialisable. Ours is never sent anywhere; a
/// deserialised one would have no store and says so on use.
#[derive(Clone, Serialize, Deserialize)]
struct LakeStorage {
    #[serde(skip)]
    store: Option<Store>,
}

impl fmt::Debug for LakeStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.store.as_ref().map(Store::url);
        f.debug_struct("LakeStorage").field("url", &url).finish()
    }
}

impl LakeStorage {
    fn locate(&self, location: &str) -> Result<(&Store, Path)> {
        let store = self
            .store
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, "the storage has no object store"))?;
        let path = store.path(location).map_err(|e| failed(location, e))?;
        Ok((store, path))
    }

    async fn put(&self, location: &str, bytes: Bytes) -> Result<()> {
        let (store, path) = self.locate(location)?;
        // Every name holds a fresh uuid, so overwriting can only be our own retry.
        let put = store.object_store().put(&path, bytes.into()).await;
        put.map(|_| ()).map_err(|e| failed(location, e.into()))
    }
}

/// The catalog's error travels as the source, where `crate::error` finds it again.
fn failed(location: &str, error: catalog::Error) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{location}: {error}")).with_source(error)
}

fn object_failed(location: &str, error: object_store::Error) -> Error {
    failed(location, error.into())
}

#[typetag::serde(name = "PumphouseStorageFactory")]
impl StorageFactory for LakeStorage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "PumphouseStorage")]
impl Storage for LakeStorage {
    async fn exists(&self, location: &str) -> Result<bool> {
        let (store, path) = self.locate(location)?;
        match store.object_store().head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(object_failed(location, error)),
        }
    }

    async fn metadata(&self, location: &str) -> Result<FileMetadata> {
        let (store, path) = self.locate(location)?;
        let head = store.object_store().head(&path).await;
        let size = head.map_err(|e| object_failed(location, e))?.size;
        Ok(FileMetadata { size })
    }

    async fn read(&self, location: &str) -> Result<Bytes> {
        let (store, path) = self.locate(location)?;
        let get = store.object_store().get(&path).await;
        let body = get.map_err(|e| object_failed(location, e))?.bytes().await;
        body.map_err(|e| object_failed(location, e))
    }

    async fn reader(&self, location: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader {
            storage: self.clone(),
            location: location.to_owned(),
        }))
    }

    async fn write(&self, location: &str, bytes: Bytes) -> Result<()> {
        self.put(location, bytes).await
    }

    async fn writer(&self, location: &str) -> Result<Box<dyn FileWrite>> {
        Ok(Box::new(Writer {
            storage: self.clone(),
            location: location.to_owned(),
            buffer: Some(Vec::new()),
        }))
    }

    async fn delete(&self, location: &str) -> Result<()> {
        let (store, path) = self.locate(location)?;
        match store.object_store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(object_failed(location, error)),
        }
    }

    async fn delete_prefix(&self, location: &str) -> Result<()> {
        let (store, path) = self.locate(location)?;
        let store = store.object_store();
        let mut listing = store.list(Some(&path));
        while let Some(object) = listing.next().await {
            let object = object.map_err(|e| object_failed(location, e))?;
            let deleted = store.delete(&object.location).await;
            deleted.map_err(|e| object_failed(location, e))?;
        }
        Ok(())
    }

    async fn delete_stream(&self, mut locations: BoxStream<'static, String>) -> Result<()> {
        while let Some(location) = locations.next().await {
            self.delete(&location).await?;
        }
        Ok(())
    }

    fn new_input(&self, location: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), location.to_owned()))
    }

    fn new_output(&self, location: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), location.to_owned()))
    }
}

struct Reader {
    storage: LakeStorage,
    location: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let (store, path) = self.storage.locate(&self.location)?;
        let bytes = store.object_store().get_range(&path, range).await;
        bytes.map_err(|e| object_failed(&self.location, e))
    }
}

/// Collects a manifest or manifest list and puts it in one request when closed.
struct Writer {
    storage: LakeStorage,
    location: String,
    buffer: Option<Vec<u8>>,
}

impl Writer {
    fn closed(&self) -> Error {
        let message = format!("{} is closed already", self.location);
        Error::new(ErrorKind::Unexpected, message)
    }
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.buffer {
            Some(buffer) => buffer.extend_from_slice(&bytes),
            None => return Err(self.closed()),
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        let buffer = self.buffer.take().ok_or_else(|| self.closed())?;
        self.storage.put(&self.location, buffer.into()).await
    }
}
