//! Watching models at work: how far rows and predictions have moved from those of training,
//! and how good the predictions turn out once labels are there.
mod alerts;
mod drift;
pub(crate) mod history;
pub(crate) mod outcome;
mod profile;
pub(crate) mod recent;
mod round;
mod served;

pub use alerts::{Alert, Kind, list as alerts};
pub use drift::Drift;
pub use outcome::Metric;
pub use profile::{Distribution, Profile};
pub use round::{FeatureDrift, Figure, PREDICTIONS, Round, Serving, Watch, last_look, look};

pub(crate) use alerts::open as open_alerts;
pub(crate) use profile::answers;
