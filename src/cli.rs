//! The command line: what people type, and its help.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::{
    branch, cherry_pick, dataset, deadletters, diff, gc, load, log, maintain, merge, models,
    monitor, predict, reset, retrain, revert, search, serve, sql, tag, train,
};
use crate::settings::Flag;
use crate::{demo, replay, simulate};

/// A lakehouse for machines that stream: MQTT in, versioned Iceberg tables on object
/// storage, SQL over Arrow Flight out, models trained and merged like code.
#[derive(Debug, Parser)]
#[command(name = "pumphouse", version, arg_required_else_help = true)]
#[command(after_long_help = "\
Begin with `pumphouse demo`. To run it for real:
  pumphouse serve                                     start everything on this machine
  pumphouse simulate                                  stand-in pumps, for a first look
  pumphouse sql 'select count(*) from pumps.telemetry'

Settings come from flags, then PUMPHOUSE_* variables, then pumphouse.toml;
pumphouse.example.toml describes every one. Exit status: 0 success, 1 something to
correct in the request or its surroundings, 2 a fault of Pumphouse.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// File with settings [default: ./pumphouse.toml if it is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PUMPHOUSE_CONFIG",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Where the lake is: a folder, s3://bucket/prefix or memory:// [env: PUMPHOUSE_LAKE_URL]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) lake: Option<String>,
    /// Report only errors
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Global options"
    )]
    pub(crate) quiet: bool,
    /// Report more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// What Pumphouse can be asked to do; the help of each is that of its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::ServeArgs),
    Sql(sql::SqlArgs),
    Branch(branch::BranchArgs),
    Tag(tag::TagArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Merge(merge::MergeArgs),
    CherryPick(cherry_pick::CherryPickArgs),
    Revert(revert::RevertArgs),
    Reset(reset::ResetArgs),
    Load(load::LoadArgs),
    Deadletters(deadletters::DeadlettersArgs),
    Replay(replay::ReplayArgs),
    Simulate(simulate::SimulateArgs),
    Dataset(dataset::DatasetArgs),
    Train(train::TrainArgs),
    Search(search::SearchArgs),
    Predict(predict::PredictArgs),
    Models(models::ModelsArgs),
    Monitor(monitor::MonitorArgs),
    Alerts(monitor::AlertsArgs),
    Retrain(retrain::RetrainArgs),
    Gc(gc::GcArgs),
    Maintain(maintain::MaintainArgs),
    Demo(demo::DemoArgs),
}

impl Cli {
    /// The settings given as flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let mut flags = match &self.command {
            Command::Serve(args) => args.flags(),
            Command::Sql(args) => args.flags(),
            _ => Vec::new(),
        };
        flags.extend(Flag::given("--lake", "lake.url", self.global.lake.as_ref()));
        flags
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let cli = Cli::parse_from(["pumphouse", "serve", "--lake", "x", "--http", "127.0.0.1:0"]);
        let flags: Vec<_> = cli
            .flags()
            .into_iter()
            .map(|flag| (flag.path, flag.value))
            .collect();
        assert!(flags.contains(&("lake.url", "x".to_owned())));
        assert!(flags.contains(&("listen.http", "127.0.0.1:0".to_owned())));
    }
}
