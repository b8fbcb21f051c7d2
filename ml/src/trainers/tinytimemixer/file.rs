//! The safetensors file of a model: several networks and a linear path in one.
use candle_core::{Device, Tensor};
use catalog::{Error, Result};
use safetensors::SafeTensors;

use super::network::Io;
use crate::neural::{Params, failed};

/// The name of the linear path's weights.
pub(super) const LINEAR: &str = "linear.weight";

/// What stands before the names of a member's tensors.
fn prefix(member: usize, members: usize) -> String {
    match members {
        1 => String::new(),
        _ => format!("members.{member}."),
    }
}

/// Reads a file's index. `Corrupt` for bytes that are no safetensors.
pub(super) fn open(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::corrupt(format!("the weights are no safetensors file: {e}")))
}

/// One file of the parameters of all `members` and the linear path.
pub(super) fn write(members: &[Params], line: Option<&Tensor>) -> Result<Vec<u8>> {
    let cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu).map_err(failed);
    let mut tensors = Vec::new();
    for (member, params) in members.iter().enumerate() {
        let prefix = prefix(member, members.len());
        for (name, var) in params.vars() {
            tensors.push((format!("{prefix}{name}"), cpu(var.as_tensor())?));
        }
    }
    if let Some(weight) = line {
        tensors.push((LINEAR.to_owned(), cpu(weight)?));
    }
    safetensors::serialize(tensors, None)
        .map_err(|e| Error::internal("the model cannot be written").with_source(e))
}

/// The parameters of one of `members`.
pub(super) fn member(
    file: &SafeTensors<'_>,
    member: usize,
    members: usize,
    device: &Device,
) -> Result<Params> {
    let prefix = prefix(member, members);
    let own = file
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
    let bytes = safetensors::serialize(own.collect::<Vec<_>>(), None)
        .map_err(|e| Error::internal("a member cannot be taken out").with_source(e))?;
    Params::from_bytes(&bytes, device)
}

/// The linear path's weights, horizon x context, where the file has them. `Corrupt` for others.
pub(super) fn line(file: &SafeTensors<'_>, io: &Io, device: &Device) -> Result<Option<Tensor>> {
    if file.tensor(LINEAR).is_err() {
        return Ok(None);
    }
    let mut params = member(file, 0, 1, device)?;
    let weight = params.constant(LINEAR, &[io.horizon, io.context], 0.0)?;
    Ok(Some(weight.detach()))
}
