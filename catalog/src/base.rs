//! Under which URL a lakehouse was created. Table metadata names every file by it, so under
//! another URL the same objects are a lakehouse whose tables seem to hold nothing.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use crate::model::{FORMAT, check_format};
use crate::{Error, Result, Store};

const PATH: &str = "_catalog/base.json";

#[derive(Serialize, Deserialize)]
struct Base {
    format: u32,
    url: String,
}

/// Records the URL of `store`, unless one is recorded.
pub(crate) async fn record(store: &Store) -> Result<()> {
    let base = Base {
        format: FORMAT,
        url: store.url().to_owned(),
    };
    let bytes = serde_json::to_vec(&base)
        .map_err(|e| Error::internal("cannot write the base as JSON").with_source(e))?;
    let objects = store.object_store();
    let create = PutMode::Create.into();
    match objects
        .put_opts(&Path::from(PATH), bytes.into(), create)
        .await
    {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a store that is open under another URL than it was created under.
pub(crate) async fn check(store: &Store) -> Result<()> {
    let bytes = match store.object_store().get(&Path::from(PATH)).await {
        Ok(found) => found.bytes().await?,
        // Written by a version that recorded none: what its tables name is still checked.
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    check_format(PATH, &bytes)?;
    let base: Base = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(format!("{PATH} is not readable")).with_source(e))?;
    if base.url == store.url() {
        return Ok(());
    }
    let (created, opened) = (&base.url, store.url());
    Err(Error::invalid(format!(
        "the lakehouse was created as {created} and is open as {opened}: nothing is collected"
    ))
    .with_hint(format!(
        "its tables name their files below {created}: bring it back there, or mount it there"
    )))
}
