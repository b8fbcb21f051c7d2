//! The trainer `tinytimemixer`.
use catalog::{Error, Result};

use super::{Fitted, Learner, Predictor};
use crate::dataset::Dataset;
use crate::manifest::Manifest;
use crate::spec::TinyTimeMixerSpec;
use crate::train::TrainProgress;

impl Learner for TinyTimeMixerSpec {
    fn fit(
        &self,
        _data: &Dataset,
        _watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        Err(Error::unsupported("tinytimemixer is not built yet"))
    }
}

pub(super) fn load(_manifest: &Manifest, _bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    Err(Error::unsupported("tinytimemixer is not built yet"))
}
