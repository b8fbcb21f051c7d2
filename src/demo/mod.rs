//! `pumphouse demo`: the whole path on this machine, shown as it happens.
//!
//! Everything is real: the embedded broker, the lake in a folder, the SQL server and the
//! trainer of `pumphouse serve` and `pumphouse train`, in this process and on free ports.
//! Only the pumps are simulated. [`stages`] is what happens, [`screen`] how it looks.

mod folder;
mod prediction;
mod pumps;
mod screen;
mod sql;
mod stages;

use std::path::PathBuf;

use catalog::Result;
use clap::Args;

use crate::server::Server;
use crate::settings::Settings;
use folder::Folder;
use stages::Demo;

/// See the whole path on this machine in a minute or two.
///
/// Starts a broker, a lake and a SQL server on free ports, lets simulated pumps publish,
/// asks in SQL, trains a model on a branch, merges it and predicts with it. The lake stays
/// in the folder to explore; nothing else is touched, and nothing is ever deleted.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the lake; a second demo in it gets a folder within
    #[arg(long, value_name = "FOLDER", default_value = "./lake-demo")]
    dir: PathBuf,
    /// Fewer pumps and hours
    #[arg(long)]
    fast: bool,
}

/// Runs the demo from start to end; Ctrl-C ends it early.
pub(crate) async fn run(args: DemoArgs, settings: Settings) -> Result<()> {
    // Better now than after the pumps have run.
    ml::xgboost::library()?;
    let folder = Folder::create(&args.dir)?;
    let settings = folder.settings(&settings, pumps::flush_rows(args.fast));
    let server = Server::start(&settings).await?;
    let shown = tokio::select! {
        shown = show(&server, &folder, args.fast) => shown.map(Some),
        Ok(()) = tokio::signal::ctrl_c() => Ok(None),
    };
    let stopped = server.shutdown().await;
    let metadata_location = shown?;
    stopped?;
    match metadata_location {
        Some(location) => screen::next_steps(&folder, &location),
        None => screen::say(&format!("\nStopped. The lake is in {}.", folder.shown())),
    }
}

/// Shows it all; the table's last metadata file.
async fn show(server: &Server, folder: &Folder, fast: bool) -> Result<String> {
    let mut demo = Demo::new(server, folder, fast).await?;
    demo.start()?;
    demo.rows_arrive().await?;
    demo.ask().await?;
    demo.branch().await?;
    demo.train().await?;
    demo.merge().await?;
    demo.predict().await?;
    demo.history().await?;
    demo.end().await
}
