//! The trainer `autoencoder`.
use catalog::{Error, Result};

use super::{Fitted, Learner, Predictor};
use crate::dataset::Dataset;
use crate::manifest::Manifest;
use crate::spec::AutoencoderSpec;
use crate::train::TrainProgress;

impl Learner for AutoencoderSpec {
    fn fit(
        &self,
        _data: &Dataset,
        _watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        Err(Error::unsupported("autoencoder is not built yet"))
    }
}

pub(super) fn load(_manifest: &Manifest, _bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    Err(Error::unsupported("autoencoder is not built yet"))
}
