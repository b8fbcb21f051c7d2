//! The immutable objects of a model, named by the SHA-256 of their bytes.
use std::fmt;

use bytes::Bytes;
use catalog::{Error, Key, Result, Store};
use lake::Lake;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

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

/// Writes an object of the model `key`; one that is there has the same bytes, and is used where
/// it is not being collected.
pub(super) async fn put(
    lake: &Lake,
    key: &Key,
    extension: &str,
    bytes: Vec<u8>,
) -> Result<(Path, Digest)> {
    let digest = Digest::of(&bytes);
    let bytes = Bytes::from(bytes);
    let mut name = digest.to_string();
    loop {
        let path = format!("{}/{}/models/{name}.{extension}", key.namespace, key.name);
        let path = Path::parse(&path)
            .map_err(|e| Error::invalid(format!("{key} gives no valid path")).with_source(e))?;
        let store = lake.store().object_store();
        let create = PutMode::Create.into();
        match store.put_opts(&path, bytes.clone().into(), create).await {
            Ok(_) => return Ok((path, digest)),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let collector = lake.catalog().collector();
        if collector.may_reuse(&path, bytes.clone()).await? {
            return Ok((path, digest));
        }
        name = format!("{digest}-{}", &Uuid::new_v4().simple().to_string()[..8]);
    }
}

/// The hash in the name of an object that [`put`] wrote.
pub(super) fn digest_of(path: &Path) -> &str {
    let name = path.filename().unwrap_or_default();
    name.split(['-', '.']).next().unwrap_or_default()
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
