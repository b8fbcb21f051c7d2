//! `pumphouse models history`: which models a key has held.

use catalog::Result;
use clap::Args;
use ml::Version;
use serde_json::{Value, json};

use super::version;
use crate::commands::{open_lake, short, time, title};
use crate::output;
use crate::settings::Settings;

/// List the commits that put a model on a branch, with what it was worth and who did it
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The model, as namespace.name
    model: String,
    /// A branch, tag, commit, or any of these with @time or ~N
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// Most commits to show
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    number: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: HistoryArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let versions = ml::history(&lake, &args.model, &args.reference, args.number).await?;
    if args.json {
        return output::print_json(&versions.iter().map(to_json).collect());
    }
    let rows: Vec<_> = versions.iter().map(to_row).collect();
    let header = ["COMMIT", "TIME", "AUTHOR", "VERSION", "METRICS", "MESSAGE"];
    output::print(&output::to_list(header, &rows))
}

fn to_row(it: &Version) -> [String; 6] {
    let location = it.manifest_location.as_deref();
    let metrics = it.manifest.as_ref().map(|it| it.metrics.to_string());
    let gone = match location {
        Some(_) => "no longer stored",
        None => "taken away",
    };
    let message: String = title(&it.commit).chars().take(40).collect();
    [
        short(&it.commit),
        time(&it.commit),
        it.commit.author.clone(),
        location.map_or_else(|| "-".to_owned(), version),
        metrics.unwrap_or_else(|| gone.to_owned()),
        message,
    ]
}

fn to_json(it: &Version) -> Value {
    json!({
        "commit": it.commit.id.to_string(),
        "time": it.commit.time,
        "author": it.commit.author,
        "message": it.commit.message,
        "version": it.manifest_location.as_deref().map(version),
        "manifest_location": it.manifest_location,
        "manifest": it.manifest,
    })
}
