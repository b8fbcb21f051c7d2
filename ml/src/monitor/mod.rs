//! Watching models at work: how far rows and predictions have moved from those of training,
//! and how good the predictions turn out once labels are there.
mod drift;
mod profile;

pub use drift::Drift;
pub(crate) use profile::answers;
pub use profile::{Distribution, Profile};
