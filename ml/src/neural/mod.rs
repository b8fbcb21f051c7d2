//! What neural trainers share: named parameters with seeded initial values, and the loop that
//! fits them. Networks are candle tensors on one device.
#[cfg(test)]
pub(crate) mod check;
mod dropout;
mod gru;
mod learn;
mod params;
mod schedule;

pub use schedule::Schedule;

pub(crate) use dropout::dropout;
pub(crate) use gru::{Gru, Training};
pub(crate) use learn::{Problem, learn, step_seconds};
pub(crate) use params::{Linear, Params, device};

use catalog::{Error, ErrorKind};

/// A failure of candle: the message, without its stack.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default().to_owned();
    Error::new(ErrorKind::Internal, format!("the network failed: {line}")).with_source(error)
}
