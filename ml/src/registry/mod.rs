//! Models as catalog content: storing, listing and loading them.
//!
//! A model is two immutable objects named by their SHA-256 under
//! `<namespace>/<name>/models/`: the trained bytes and the manifest. The catalog
//! key points at the manifest.
mod cache;
mod history;
mod objects;
mod promote;

use std::fmt;
use std::sync::Arc;

use catalog::{Content, Error, Key, Result, Snapshot};
use futures::{StreamExt, TryStreamExt, stream};
use lake::Lake;
use object_store::path::Path;
use serde::Deserialize;
use uuid::Uuid;

use crate::manifest::{Artifact, FORMAT_VERSION, Manifest};
use crate::spec::Trainer;
use crate::trainers::{self, Predictions, Predictor};

pub use history::{Rollback, Version, history, rollback};
pub use promote::promote;

/// Manifests that are read at the same time when models are listed.
const CONCURRENT_READS: usize = 8;

/// A model at one ref.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Its key.
    pub key: Key,
    /// Where its manifest lies.
    pub manifest_location: String,
    /// What is known about it.
    pub manifest: Manifest,
}

impl ModelInfo {
    /// The first twelve digits of its manifest's hash: which model of its name it is.
    pub fn version(&self) -> &str {
        version_of(&self.manifest_location)
    }
}

fn version_of(manifest_location: &str) -> &str {
    let name = manifest_location.rsplit('/').next().unwrap_or_default();
    name.get(..12).unwrap_or(name)
}

/// The models at `reference`, in the order of their keys.
pub async fn models(lake: &Lake, reference: &str) -> Result<Vec<ModelInfo>> {
    let snapshot = lake.catalog().resolve(reference).await?;
    let entries = snapshot.entries()?.into_iter();
    let found: Vec<(Key, String)> = entries
        .filter_map(|(key, content)| match content {
            Content::Model {
                manifest_location, ..
            } => Some((key, manifest_location)),
            _ => None,
        })
        .collect();
    stream::iter(found)
        .map(|(key, manifest_location)| async move {
            let manifest = read_manifest(lake, &manifest_location).await?;
            Ok(ModelInfo {
                key,
                manifest_location,
                manifest,
            })
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

/// Writes the trained bytes and says where they lie.
pub(crate) async fn put_artifact(
    lake: &Lake,
    key: &Key,
    trainer: Trainer,
    bytes: Vec<u8>,
) -> Result<Artifact> {
    let size = bytes.len() as u64;
    let (format, extension) = trainers::format(trainer);
    let (path, digest) = objects::put(lake, key, extension, bytes).await?;
    Ok(Artifact {
        path: path.to_string(),
        format: format.to_owned(),
        sha256: digest.to_string(),
        size,
    })
}

/// Writes the manifest and gives the content that points at it, and where it lies.
pub(crate) async fn put_manifest(lake: &Lake, manifest: &Manifest) -> Result<(Content, String)> {
    let bytes = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Error::internal("the model's manifest cannot be written").with_source(e))?;
    let (path, digest) = objects::put(lake, &manifest.model, "json", bytes).await?;
    let manifest_location = lake.store().location(&path);
    let content = Content::Model {
        uuid: Uuid::new_v5(&Uuid::NAMESPACE_OID, digest.to_string().as_bytes()),
        manifest_location: manifest_location.clone(),
    };
    Ok((content, manifest_location))
}

/// Refuses a key that something other than a model has.
pub(crate) fn check_key(head: &Snapshot, key: &Key) -> Result<()> {
    match head.get(key)? {
        None | Some(Content::Model { .. }) => Ok(()),
        Some(other) => Err(Error::already_exists(format!(
            "{key} is of the kind {}, so no model can be put there",
            other.type_name()
        ))
        .with_hint("name another key in the spec's `model`")),
    }
}

/// A model that is ready to predict.
pub(crate) struct LoadedModel {
    pub(crate) manifest: Manifest,
    location: String,
    predictor: Box<dyn Predictor>,
}

impl LoadedModel {
    /// Where its manifest lies, which no other model ever does.
    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Which model of its name it is, as [`ModelInfo::version`] says.
    pub(crate) fn version(&self) -> &str {
        version_of(&self.location)
    }

    /// What the model answers to samples as they are in the lake, each `length` x features
    /// numbers; blocks. `groups` names the series of each, and may be empty.
    pub(crate) fn predict(&self, mut samples: Vec<f32>, groups: &[String]) -> Result<Predictions> {
        let manifest = &self.manifest;
        let length = manifest.signature.length;
        manifest
            .normalisation
            .apply_each(&mut samples, length, groups);
        self.predictor.predict(&samples)
    }
}

/// The model `name` as it is at `reference`. `NotFound` names the models there.
pub async fn model(lake: &Lake, name: &str, reference: &str) -> Result<ModelInfo> {
    find(lake, &name.parse()?, reference).await
}

async fn find(lake: &Lake, key: &Key, reference: &str) -> Result<ModelInfo> {
    let manifest_location = locate(lake, key, reference).await?;
    let manifest = read_manifest(lake, &manifest_location).await?;
    Ok(ModelInfo {
        key: key.clone(),
        manifest_location,
        manifest,
    })
}

/// Where the manifest lies of the model `key` at `reference`.
async fn locate(lake: &Lake, key: &Key, reference: &str) -> Result<String> {
    let snapshot = lake.catalog().resolve(reference).await?;
    locate_at(key, reference, &snapshot)
}

fn locate_at(key: &Key, reference: &str, snapshot: &Snapshot) -> Result<String> {
    match snapshot.get(key)? {
        Some(Content::Model {
            manifest_location, ..
        }) => Ok(manifest_location),
        Some(other) => Err(Error::invalid(format!(
            "{key} is of the kind {}, not a model",
            other.type_name()
        ))),
        None => Err(no_such_model(key, reference, snapshot)?),
    }
}

/// Loads the model `name` as it is at `reference`. `NotFound` names the models there.
pub(crate) async fn load(lake: &Lake, name: &str, reference: &str) -> Result<Arc<LoadedModel>> {
    let snapshot = lake.catalog().resolve(reference).await?;
    load_at(lake, name, reference, &snapshot).await
}

/// As [`load`], where `snapshot` is what `reference` is pinned to.
pub(crate) async fn load_at(
    lake: &Lake,
    name: &str,
    reference: &str,
    snapshot: &Snapshot,
) -> Result<Arc<LoadedModel>> {
    let key: Key = name.parse()?;
    let location = locate_at(&key, reference, snapshot)?;
    if let Some(model) = cache::get(&location) {
        return Ok(model);
    }
    let manifest = read_manifest(lake, &location).await?;
    let predictor = read_predictor(lake, &manifest)
        .await
        .map_err(|e| e.context(format!("model {key}")))?;
    let model = Arc::new(LoadedModel {
        manifest,
        predictor,
        location,
    });
    cache::put(&model.location, &model);
    Ok(model)
}

fn no_such_model(key: &Key, reference: &str, snapshot: &Snapshot) -> Result<Error> {
    let entries = snapshot.entries()?;
    let there: Vec<String> = entries
        .iter()
        .filter(|(_, content)| matches!(content, Content::Model { .. }))
        .map(|(key, _)| key.to_string())
        .collect();
    let error = Error::not_found(format!("there is no model {key} at '{reference}'"));
    Ok(match there.is_empty() {
        true => error.with_hint("there is none at all; `pumphouse train SPEC.toml` trains one"),
        false => error.with_hint(format!("the models there are {}", there.join(", "))),
    })
}

/// What every manifest begins with, whatever its layout.
#[derive(Deserialize)]
struct Layout {
    format_version: u32,
}

async fn read_manifest(lake: &Lake, location: &str) -> Result<Manifest> {
    let path = lake.store().path(location)?;
    let sha256 = objects::digest_of(&path);
    let bytes = objects::get(lake.store(), &path, sha256).await?;
    let corrupt =
        |e| Error::corrupt(format!("the manifest {location} cannot be read")).with_source(e);
    let layout: Layout = serde_json::from_slice(&bytes).map_err(corrupt)?;
    if layout.format_version > FORMAT_VERSION {
        return Err(Error::unsupported(format!(
            "the manifest {location} has format {}, and this version reads up to {FORMAT_VERSION}",
            layout.format_version
        ))
        .with_hint("use the version of pumphouse that trained the model, or a newer one"));
    }
    serde_json::from_slice(&bytes).map_err(corrupt)
}

async fn read_predictor(lake: &Lake, manifest: &Manifest) -> Result<Box<dyn Predictor>> {
    let artifact = &manifest.artifact;
    let path = Path::parse(&artifact.path)
        .map_err(|e| Error::corrupt(format!("'{}' is no path", artifact.path)).with_source(e))?;
    let bytes = objects::get(lake.store(), &path, &artifact.sha256).await?;
    trainers::load(manifest, &bytes)
}

impl fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoadedModel({})", self.location)
    }
}
