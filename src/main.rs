//! Pumphouse, a lakehouse for machines that stream, in one binary.
//!
//! This package is thin: the command line, the settings and the wiring of the parts.
//! A message's path is in the crates: `ingest`, `lake`, `catalog`, `query`, `ml`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod commands;
mod demo;
mod failure;
mod output;
mod replay;
mod server;
mod settings;
mod simulate;
mod style;

use std::io::IsTerminal;
use std::process::ExitCode;

use catalog::{Error, Result};
use clap::Parser;
use cli::{Cli, Command};
use settings::Settings;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do when stdout or stderr is closed.
            let _ = error.print();
            return failure::usage_code(&error);
        }
    };
    start_logging(&cli);
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&failure::describe(&error));
            failure::exit_code(&error)
        }
    }
}

fn start(cli: Cli) -> Result<()> {
    let env = |name: &str| std::env::var(name).ok();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in settings::unknown_variables(names) {
        tracing::warn!(name, "an environment variable names no setting");
    }
    let settings = Settings::load(cli.global.config.as_deref(), env, &cli.flags())?;
    if let Some(library) = &settings.ml.xgboost_library {
        ml::xgboost::set_library(library);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // DataFusion recurses over expressions, and not everywhere with a guard.
        .thread_stack_size(16 << 20)
        .build()
        .map_err(|e| Error::internal("cannot start the async runtime").with_source(e))?;
    let done = runtime.block_on(run(cli.command, settings));
    // A prompt still waiting for a line must not hold the exit.
    runtime.shutdown_background();
    done
}

async fn run(command: Command, settings: Settings) -> Result<()> {
    match command {
        Command::Serve(args) => commands::serve::run(args, settings).await,
        Command::Sql(args) => commands::sql::run(args, settings).await,
        Command::Branch(args) => commands::branch::run(args, settings).await,
        Command::Tag(args) => commands::tag::run(args, settings).await,
        Command::Gc(args) => commands::gc::run(args, settings).await,
        Command::Maintain(args) => commands::maintain::run(args, settings).await,
        Command::Log(args) => commands::log::run(args, settings).await,
        Command::Diff(args) => commands::diff::run(args, settings).await,
        Command::Merge(args) => commands::merge::run(args, settings).await,
        Command::CherryPick(args) => commands::cherry_pick::run(args, settings).await,
        Command::Revert(args) => commands::revert::run(args, settings).await,
        Command::Reset(args) => commands::reset::run(args, settings).await,
        Command::Load(args) => commands::load::run(args, settings).await,
        Command::Deadletters(args) => commands::deadletters::run(args, settings).await,
        Command::Replay(args) => replay::run(args, settings).await,
        Command::Simulate(args) => simulate::run(args, settings).await,
        Command::Dataset(args) => commands::dataset::run(args, settings).await,
        Command::Train(args) => commands::train::run(args, settings).await,
        Command::Search(args) => commands::search::run(args, settings).await,
        Command::Predict(args) => commands::predict::run(args, settings).await,
        Command::Models(args) => commands::models::run(args, settings).await,
        Command::Monitor(args) => commands::monitor::run(args, settings).await,
        Command::Alerts(args) => commands::monitor::alerts(args, settings).await,
        Command::Retrain(args) => commands::retrain::run(args, settings).await,
        Command::Demo(args) => demo::run(args, settings).await,
    }
}

/// Log lines go to stderr, so that stdout holds answers only. `RUST_LOG` may say more.
fn start_logging(cli: &Cli) {
    // A server tells what it does; a command answers, and otherwise reports trouble.
    let usual = match cli.command {
        Command::Serve(_) => {
            "warn,pumphouse=info,catalog=info,lake=info,ingest=info,query=info,ml=info"
        }
        _ => "warn",
    };
    let directives = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => "error",
        (_, 0) => usual,
        (_, 1) => "info,pumphouse=debug,catalog=debug,lake=debug,ingest=debug,query=debug,ml=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
