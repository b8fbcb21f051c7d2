//! Files in S3: brought here once, into a file without a name that goes with this process.

use std::fs::File;
use std::io::Write;
use std::path::Path as FilePath;
use std::sync::Arc;

use catalog::{Error, Result, Store, StoreConfig};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::format;
use super::gather::{Sources, matches};
use super::input::{Input, Place, hex};
use super::progress::{Phase, Progress};

/// Brings what `names` stand for, a list for each of them.
pub(super) async fn bring(
    names: &[String],
    sources: &Sources,
    progress: &Progress,
) -> Result<Vec<Vec<Input>>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in names {
        found.push(find(name, sources).await?);
    }
    let sizes = found.iter().flat_map(|(_, _, objects)| objects);
    progress.begin(Phase::Hash, sizes.map(|object| object.size).sum());
    let mut spool = Spool::new(&sources.spool)?;
    let mut brought = Vec::new();
    for (bucket, store, objects) in found {
        let mut inputs = Vec::new();
        for object in objects {
            inputs.push(spool.take(&bucket, &store, &object, progress).await?);
        }
        brought.push(inputs);
    }
    Ok(brought)
}

/// The objects that `s3://bucket/key` stands for: one, those of a folder, or of a pattern.
async fn find(name: &str, sources: &Sources) -> Result<(String, Store, Vec<ObjectMeta>)> {
    let wrong = |why: &str| {
        Error::invalid(format!("{name}: {why}")).with_hint("write s3://bucket/path/to/file.csv")
    };
    let rest = name.strip_prefix("s3://").unwrap_or(name);
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let store = Store::open(&StoreConfig {
        url: format!("s3://{bucket}"),
        s3: sources.s3.clone(),
    })
    .await?;
    let objects = store.object_store();
    let (folder, last) = key.rsplit_once('/').unwrap_or(("", key));
    let is_pattern = last.contains(['*', '?']);
    if !is_pattern && !last.is_empty() {
        let path = Path::parse(key).map_err(|e| wrong("is no key").with_source(e))?;
        let object = objects.head(&path).await.map_err(|e| explain(name, e))?;
        return Ok((bucket.to_owned(), store, vec![object]));
    }
    let prefix = Path::parse(folder).map_err(|e| wrong("is no key").with_source(e))?;
    let listing = objects.list_with_delimiter(Some(&prefix)).await;
    let mut listed = listing.map_err(|e| explain(name, e))?.objects;
    listed.retain(|object| {
        let file = object.location.filename().unwrap_or_default();
        match is_pattern {
            true => matches(last, file),
            false => format::by_extension(file).is_some(),
        }
    });
    listed.sort_by(|a, b| a.location.cmp(&b.location));
    match listed.is_empty() {
        true => Err(Error::not_found(format!("{name} stands for no file"))),
        false => Ok((bucket.to_owned(), store, listed)),
    }
}

fn explain(name: &str, error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => {
            Error::not_found(format!("there is no {name}")).with_hint("check bucket and key")
        }
        other => Error::from(other).context(name),
    }
}

/// One nameless file that holds all that was brought.
struct Spool {
    file: Arc<File>,
    end: u64,
}

impl Spool {
    fn new(folder: &FilePath) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|e| no_room(e, folder))?;
        Ok(Self {
            file: Arc::new(file),
            end: 0,
        })
    }

    async fn take(
        &mut self,
        bucket: &str,
        store: &Store,
        object: &ObjectMeta,
        progress: &Progress,
    ) -> Result<Input> {
        let name = format!("s3://{bucket}/{}", object.location);
        let got = store.object_store().get(&object.location).await;
        let mut chunks = got.map_err(|e| explain(&name, e))?.into_stream();
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        while let Some(chunk) = chunks.try_next().await.map_err(|e| explain(&name, e))? {
            hasher.update(&chunk);
            let written = (&*self.file).write_all(&chunk);
            written.map_err(|e| no_room(e, FilePath::new("the spool folder")))?;
            bytes += chunk.len() as u64;
            progress.add(chunk.len());
        }
        let start = self.end;
        self.end += bytes;
        Ok(Input {
            name,
            bytes,
            hash: hex(&hasher.finalize()),
            place: Place::Spooled {
                file: Arc::clone(&self.file),
                start,
            },
        })
    }
}

fn no_room(error: std::io::Error, folder: &FilePath) -> Error {
    Error::new(
        catalog::ErrorKind::ResourceExhausted,
        format!("cannot keep files from S3 in {}", folder.display()),
    )
    .with_hint("set TMPDIR to a folder with room for all of them")
    .with_source(error)
}
