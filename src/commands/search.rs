//! `pumphouse search`: try hyper-parameters, and train the best.

use std::path::PathBuf;

use catalog::{Error, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ml::{Search, SearchOutcome, SearchProgress, Trial};

use super::{new_engine, open_lake};
use crate::output;
use crate::settings::Settings;

/// Try hyper-parameters of a training spec, and train the best on a branch.
///
/// Draws parameters at random from the ranges under [search], trains each on the same rows
/// and judges it by the validation part; trials that look hopeless are stopped. Each trial
/// becomes a row of ml.trials, and the best one the model. The same commit, file and seed
/// choose the same parameters.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  pumphouse search pump_fault.toml --branch exp --trials 30
  pumphouse sql --ref exp 'select * from ml.trials order by value'

with, beside what `pumphouse train` reads, in pump_fault.toml:
  [search]
  trials = 20
  seed = 1

  [search.parameters]       # of the trainer's section
  eta = { log_uniform = [0.02, 0.3] }
  max_depth = { int = [3, 9] }
  subsample = { uniform = [0.5, 1.0] }
  tree_method = { choice = [\"hist\", \"approx\"] }")]
pub(crate) struct SearchArgs {
    /// File that says what to learn from, how, and what to try
    #[arg(value_name = "SPEC.toml")]
    spec: PathBuf,
    /// Branch that the trials and the model are put on
    #[arg(long, value_name = "BRANCH")]
    branch: String,
    /// Parameter sets to try [default: search.trials, or 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// What draws them [default: search.seed, or 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Searches on the lake itself; no server is needed.
pub(crate) async fn run(args: SearchArgs, settings: Settings) -> Result<()> {
    let mut search = Search::from_toml(&read(&args.spec)?)?;
    search.plan.trials = args.trials.unwrap_or(search.plan.trials);
    search.plan.seed = args.seed.unwrap_or(search.plan.seed);
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake.clone(), None);
    let bar = progress_bar();
    let (branch, author) = (&args.branch, settings.author());
    let found = ml::search(&lake, &engine, &search, branch, &author, &mut |progress| {
        show(&bar, &progress);
    })
    .await;
    bar.finish_and_clear();
    report(&found?)
}

fn read(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("cannot read {}", path.display()))
            .with_hint("name a training spec; `pumphouse search --help` shows one")
            .with_source(e)
    })
}

/// Thousandths of a trial: the bar moves with the rounds.
const STEPS: u64 = 1_000;

/// A bar on stderr, hidden when that is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0).with_message("reading the data set");
    let style = ProgressStyle::with_template("{spinner} [{bar:30}] {msg}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn show(bar: &ProgressBar, progress: &SearchProgress) {
    let SearchProgress {
        trial,
        trials,
        round,
        best,
    } = progress;
    let done = (STEPS as f64 * round.done()) as u64;
    bar.set_length(STEPS * u64::from(*trials));
    bar.set_position(STEPS * u64::from(trial - 1) + done);
    let best = best.map_or_else(String::new, |best| format!(", best {best:.4}"));
    bar.set_message(format!(
        "trial {trial}/{trials} {} {:.4}{best}",
        round.metric, round.test
    ));
}

fn report(found: &SearchOutcome) -> Result<()> {
    let rows: Vec<_> = found
        .trials
        .iter()
        .map(|t| to_row(t, found.chosen))
        .collect();
    let header = ["TRIAL", "METRIC", "VALUE", "ROUNDS", "PARAMETERS", ""];
    output::print(&output::to_list(header, &rows))?;
    let trained = &found.trained;
    output::print(&format!(
        "\
trained {} on {} with the parameters of trial {}
  metrics   {}
  trials    select * from ml.trials where search = '{}'",
        trained.model, trained.branch, found.chosen, trained.manifest.metrics, found.id,
    ))
}

fn to_row(trial: &Trial, chosen: u32) -> [String; 6] {
    let parameters = trial.parameters.iter();
    let parameters: Vec<_> = parameters
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let verdict = match &trial.ruled_out {
        Some(why) => why.clone(),
        None if trial.number == chosen => "chosen".to_owned(),
        None => String::new(),
    };
    [
        trial.number.to_string(),
        trial.metric.clone(),
        trial
            .value
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.5}")),
        trial.rounds.to_string(),
        parameters.join(" "),
        verdict,
    ]
}
