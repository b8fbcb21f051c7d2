//! Being written.

use catalog::Result;
use clap::Args;

use crate::settings::Settings;

/// Arguments.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// Runs the command.
pub(crate) async fn run(args: DemoArgs, settings: Settings) -> Result<()> {
    drop((args, settings));
    Ok(())
}
