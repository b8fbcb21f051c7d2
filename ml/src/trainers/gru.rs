//! The trainer `gru`.
use catalog::{Error, Result};

use super::{Fitted, Learner, Predictor};
use crate::dataset::Dataset;
use crate::manifest::Manifest;
use crate::spec::GruSpec;
use crate::train::TrainProgress;

impl Learner for GruSpec {
    fn fit(
        &self,
        _data: &Dataset,
        _watch: &mut dyn FnMut(TrainProgress) -> bool,
    ) -> Result<Option<Fitted>> {
        Err(Error::unsupported("gru is not built yet"))
    }
}

pub(super) fn load(_manifest: &Manifest, _bytes: &[u8]) -> Result<Box<dyn Predictor>> {
    Err(Error::unsupported("gru is not built yet"))
}
