//! `spectral_energy(value, rate, low, high) over (...)`: of the last so many readings, whose
//! samples are rows. A group has no order that every plan keeps, so there it is
//! `band_energy(array_agg(value order by ts), rate, low, high)`.
use std::any::Any;
use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::spectrum::Band;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SpectralEnergy {
    signature: Signature,
}

impl SpectralEnergy {
    pub(super) fn new() -> Self {
        let numbers = vec![DataType::Float64; 4];
        SpectralEnergy {
            signature: Signature::exact(numbers, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for SpectralEnergy {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &'static str {
        "spectral_energy"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        plan_err!(
            "spectral_energy is of a window that moves, such as rows between 63 preceding and \
             current row; of a group it is band_energy(array_agg(value order by ts), rate, low, high)"
        )
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Signal::default()))
    }
}

/// The samples that are in the window.
#[derive(Debug, Default)]
struct Signal {
    samples: VecDeque<f64>,
    band: Option<Band>,
}

impl Signal {
    fn take_band(&mut self, rate: &ArrayRef, low: &ArrayRef, high: &ArrayRef) {
        let last = |array: &ArrayRef| array.as_primitive::<Float64Type>().iter().flatten().last();
        if let (Some(rate), Some(low), Some(high)) = (last(rate), last(low), last(high)) {
            self.band = Some(Band { rate, low, high });
        }
    }
}

impl Accumulator for Signal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [samples, rate, low, high] = values else {
            return exec_err!("spectral_energy takes a value, a rate, and a band's ends");
        };
        let samples = samples.as_primitive::<Float64Type>();
        self.samples.extend(samples.iter().flatten());
        self.take_band(rate, low, high);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = values.first().map_or(0, |v| v.len() - v.null_count());
        self.samples.drain(..gone.min(self.samples.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let energy = match self.band {
            Some(band) => band.energy(self.samples.make_contiguous())?,
            None => None,
        };
        Ok(ScalarValue::Float64(energy))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.samples.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        exec_err!("a window is never computed in parts")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        exec_err!("a window is never computed in parts")
    }
}
