//! `band_energy(samples, rate, low, high)`: of a signal that is one value, a list of samples.
use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::spectrum::Band;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BandEnergy {
    signature: Signature,
}

impl BandEnergy {
    pub(super) fn new() -> Self {
        BandEnergy {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for BandEnergy {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn name(&self) -> &'static str {
        "band_energy"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_list = matches!(given.first(), Some(DataType::Null))
            || matches!(
                given.first(),
                Some(DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _))
                    if of.data_type().is_numeric()
            );
        if given.len() != 4 || !is_list {
            return exec_err!(
                "band_energy takes a list of samples, their rate, and a band's ends: band_energy(samples, 1000, 10, 100)"
            );
        }
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        Ok(vec![
            list,
            DataType::Float64,
            DataType::Float64,
            DataType::Float64,
        ])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [samples, rate, low, high] = arrays.as_slice() else {
            return exec_err!("band_energy takes four arguments");
        };
        let samples = samples.as_list::<i32>();
        let number = |array: &dyn Array, row: usize| {
            let numbers = array.as_primitive::<Float64Type>();
            numbers.is_valid(row).then(|| numbers.value(row))
        };
        let energy = (0..samples.len()).map(|row| {
            let ends = (number(rate, row), number(low, row), number(high, row));
            let (Some(rate), Some(low), Some(high)) = ends else {
                return Ok(None);
            };
            if samples.is_null(row) {
                return Ok(None);
            }
            let values = cast(&samples.value(row), &DataType::Float64)?;
            let values: Vec<f64> = values
                .as_primitive::<Float64Type>()
                .iter()
                .flatten()
                .collect();
            Band { rate, low, high }.energy(&values)
        });
        let energy: Float64Array = energy.collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(energy)))
    }
}
