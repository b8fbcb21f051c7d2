//! The immutable objects of a model, named by the SHA-256 of their bytes.
use std::fmt::{self, Write};

use bytes::Bytes;
use catalog::{Error, Key, Result, Store};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use sha2::{Digest as _, Sha256};

/// A SHA-256; displayed in hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes an object of the model `key`; one that is there has the same bytes.
pub(super) async fn put(
    store: &Store,
    key: &Key,
    extension: &str,
    bytes: Vec<u8>,
) -> Result<(Path, Digest)> {
    let digest = Digest::of(&bytes);
    let mut path = String::new();
    write!(
        path,
        "{}/{}/models/{digest}.{extension}",
        key.namespace, key.name
    )
    .map_err(|e| Error::internal("a path could not be written").with_source(e))?;
    let path = Path::parse(&path)
        .map_err(|e| Error::invalid(format!("{key} gives no valid path")).with_source(e))?;
    let put = store
        .object_store()
        .put_opts(&path, bytes.into(), PutMode::Create.into())
        .await;
    match put {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok((path, digest)),
        Err(error) => Err(error.into()),
    }
}

/// Reads an object and compares it to the hash it is known by.
pub(super) async fn get(store: &Store, path: &Path, sha256: &str) -> Result<Bytes> {
    let bytes = store.object_store().get(path).await?.bytes().await?;
    if Digest::of(&bytes).to_string() != sha256 {
        let message = format!("the bytes of {path} are not those that were written");
        return Err(Error::corrupt(message)
            .with_hint("restore the object from a backup, or train the model again"));
    }
    Ok(bytes)
}
