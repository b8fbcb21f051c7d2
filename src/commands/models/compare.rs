//! `pumphouse models compare`: two models side by side.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Result;
use clap::Args;
use ml::{Manifest, ModelInfo};
use serde_json::{Value, json};

use super::{at_ref, figures, number, version};
use crate::commands::open_lake;
use crate::output;
use crate::settings::Settings;
use crate::style;

/// Compare two models: figures, parameters, data and features, differences marked
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The first model, as namespace.name@ref; without a ref the one on main
    first: String,
    /// The second model
    second: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing that both models may have.
struct Line {
    group: &'static str,
    name: String,
    sides: [Option<String>; 2],
}

pub(super) async fn run(args: CompareArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let mut models = Vec::new();
    for text in [&args.first, &args.second] {
        let (model, reference) = at_ref(text)?;
        models.push(ml::model(&lake, &model, &reference).await?);
    }
    let [first, second] = [&models[0], &models[1]];
    let lines = lines(first, second);
    if args.json {
        return output::print_json(&to_json(&args, &lines));
    }
    let rows: Vec<[String; 4]> = lines.iter().map(row).collect();
    let header = ["", args.first.as_str(), args.second.as_str(), ""];
    output::print(&output::to_list(header, &rows))
}

fn lines(first: &ModelInfo, second: &ModelInfo) -> Vec<Line> {
    let both = [first, second];
    let mut lines = Vec::new();
    let mut add = |group, names: Vec<String>, values: [BTreeMap<String, String>; 2]| {
        lines.extend(names.into_iter().map(|name| Line {
            group,
            sides: values.each_ref().map(|it| it.get(&name).cloned()),
            name,
        }));
    };
    let about = both.map(about);
    add("model", ABOUT.map(str::to_owned).to_vec(), about);
    let metrics = both.map(|it| figures(&it.manifest));
    let names = in_order(metrics.iter().flatten().map(|it| it.0.clone()));
    let metrics = metrics.map(|it| it.into_iter().map(|(name, v)| (name, number(v))).collect());
    add("test", names, metrics);
    let parameters = both.map(|it| it.manifest.parameters.clone());
    let names: BTreeSet<String> = parameters
        .iter()
        .flat_map(|it| it.keys().cloned())
        .collect();
    add("parameter", names.into_iter().collect(), parameters);
    let features = both.map(|it| features(&it.manifest));
    let names: Vec<String> = in_order(both.iter().flat_map(|it| {
        it.manifest
            .signature
            .features
            .iter()
            .map(|it| it.name.clone())
    }));
    add("feature", names, features);
    lines
}

const ABOUT: [&str; 8] = [
    "version",
    "trainer",
    "task",
    "data commit",
    "sql",
    "rows",
    "rounds",
    "code",
];

fn about(model: &ModelInfo) -> BTreeMap<String, String> {
    let manifest = &model.manifest;
    let sql = manifest
        .lineage
        .sql
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    // Enough to see that it differs; `show` has all of it.
    let short = match sql.chars().count() {
        0..=40 => sql,
        _ => format!("{}...", sql.chars().take(37).collect::<String>()),
    };
    let values = [
        version(&model.manifest_location),
        format!("{} {}", manifest.trainer, manifest.trainer_version),
        manifest.task.to_string(),
        manifest.lineage.commit.short(),
        short,
        manifest.lineage.rows.train.to_string(),
        manifest.rounds.to_string(),
        manifest.code_version.clone(),
    ];
    ABOUT
        .iter()
        .map(|it| (*it).to_owned())
        .zip(values)
        .collect()
}

fn features(manifest: &Manifest) -> BTreeMap<String, String> {
    let features = manifest.signature.features.iter();
    features
        .map(|it| (it.name.clone(), it.data_type.clone()))
        .collect()
}

fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

fn row(line: &Line) -> [String; 4] {
    let [first, second] = &line.sides;
    let show = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let mark = match (first, second) {
        (Some(a), Some(b)) if a == b => String::new(),
        (Some(_), Some(_)) => match (value(first), value(second)) {
            (Some(a), Some(b)) => Difference(b - a).to_string(),
            _ => "differs".to_owned(),
        },
        (Some(_), None) => style::red("removed"),
        (None, _) => style::green("added"),
    };
    [
        format!("{} {}", line.group, line.name),
        show(first),
        show(second),
        mark,
    ]
}

fn value(side: &Option<String>) -> Option<f64> {
    side.as_ref()?.parse().ok()
}

/// A difference with as many digits as tell.
struct Difference(f64);

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 >= 0.0 { "+" } else { "-" };
        let digits = number(self.0.abs());
        let digits = match digits.contains('.') && !digits.contains('e') {
            true => digits.trim_end_matches('0').trim_end_matches('.'),
            false => &digits,
        };
        write!(f, "{sign}{digits}")
    }
}

fn to_json(args: &CompareArgs, lines: &[Line]) -> Value {
    let lines = lines.iter().map(|line| {
        json!({
            "group": line.group,
            "name": line.name,
            "first": line.sides[0],
            "second": line.sides[1],
            "same": line.sides[0] == line.sides[1],
        })
    });
    json!({"first": args.first, "second": args.second, "lines": lines.collect::<Value>()})
}
