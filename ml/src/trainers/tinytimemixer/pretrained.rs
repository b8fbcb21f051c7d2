//! Weights that training starts from: a safetensors file with the published tensor names.
use std::fs;

use bytes::Bytes;
use candle_core::Device;
use catalog::{Error, Result};
use lake::Lake;
use object_store::ObjectStoreExt;
use safetensors::SafeTensors;
use sha2::{Digest as _, Sha256};

use super::file::{self, LINEAR};
use super::network::{Io, Network};
use crate::neural::Params;
use crate::spec::{TinyTimeMixerSpec, TrainSpec};

/// `spec` with its weights, where those lie in the lake's store: `pretrained` is a URL then.
///
/// # Errors
/// `InvalidInput` for a place outside the lake, `NotFound` where nothing is there.
pub(crate) async fn fetch(lake: &Lake, mut spec: TrainSpec) -> Result<TrainSpec> {
    let Some(own) = &mut spec.tinytimemixer else {
        return Ok(spec);
    };
    let place = own.pretrained.iter().find(|place| place.contains("://"));
    if let Some(place) = place {
        let path = lake.store().path(place)?;
        let found = lake.store().object_store().get(&path).await;
        let bytes = match found {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        own.weights = Some(bytes.map_err(|e| unreadable(place, &e))?);
    }
    Ok(spec)
}

/// The weights that `spec` starts from, fetched or read from a file.
pub(super) fn read(spec: &TinyTimeMixerSpec) -> Result<Option<Bytes>> {
    match (&spec.weights, &spec.pretrained) {
        (Some(bytes), _) => Ok(Some(bytes.clone())),
        (None, Some(path)) => {
            let bytes = fs::read(path).map_err(|e| unreadable(path, &e))?;
            Ok(Some(bytes.into()))
        }
        (None, None) => Ok(None),
    }
}

fn unreadable(place: &str, error: &dyn std::error::Error) -> Error {
    Error::not_found(format!("the weights '{place}' cannot be read: {error}")).with_hint(
        "tinytimemixer.pretrained names a safetensors file, or one in the lake's store by its URL",
    )
}

/// The parameters in `file`, once it is clear that they are those of the network of `spec`.
///
/// # Errors
/// `InvalidInput` that names a tensor that is missing, of another shape, or not one of the
/// network's.
pub(super) fn params(
    file: &SafeTensors<'_>,
    spec: &TinyTimeMixerSpec,
    io: &Io,
    device: &Device,
) -> Result<Params> {
    let mut wanted = Params::seeded(0, &Device::Cpu);
    Network::new(&mut wanted, spec, io)?;
    let hint = "the defaults are those of the published 512-96 model, with window = { length = \
                512, horizon = 96 }; another model needs its own sizes in [tinytimemixer]";
    for (name, var) in wanted.vars() {
        let Ok(found) = file.tensor(name) else {
            let message = format!("the pretrained weights lack the tensor '{name}'");
            return Err(Error::invalid(message).with_hint(hint));
        };
        if found.shape() != var.dims() {
            return Err(Error::invalid(format!(
                "the tensor '{name}' of the pretrained weights has the shape {:?}, and the \
                 network that the spec describes has {:?}",
                found.shape(),
                var.dims()
            ))
            .with_hint(hint));
        }
    }
    let known = |name: &str| name == LINEAR || wanted.vars().contains_key(name);
    if let Some(name) = file.names().into_iter().find(|name| !known(name)) {
        return Err(Error::invalid(format!(
            "the pretrained weights hold the tensor '{name}', which the network that the spec \
             describes does not have"
        ))
        .with_hint(hint));
    }
    file::member(file, 0, 1, device)
}

/// The SHA-256 of weights, in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
