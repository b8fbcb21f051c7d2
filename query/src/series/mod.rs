//! SQL functions of time series beside DataFusion's own.
mod band_energy;
mod spectral_energy;
mod spectrum;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::sync::Arc;

use self::band_energy::BandEnergy;
use self::spectral_energy::SpectralEnergy;

/// Makes the functions known to all statements of `state`.
///
/// # Errors
/// When a name is taken, which is a fault of this crate.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(Arc::new(ScalarUDF::from(BandEnergy::new())))?;
    state.register_udaf(Arc::new(AggregateUDF::from(SpectralEnergy::new())))?;
    Ok(())
}
