//! `pumphouse models show`: all that is known of one model.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use catalog::{ErrorKind, Result};
use clap::Args;
use ml::{Calibration, Manifest, Method, ModelInfo, Scaling};
use query::Engine;
use serde_json::{Value, json};

use super::{figures, number, to_json, version};
use crate::commands::{new_engine, open_lake};
use crate::output;
use crate::settings::Settings;

/// Features whose importance is drawn.
const FEATURES: usize = 15;
/// Characters of the longest bar, and of a curve.
const WIDTH: usize = 40;

/// Show where a model comes from, how it was trained, and what its answers are worth
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The model, as namespace.name
    model: String,
    /// A branch, branch@time, branch@commit or a commit
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How one metric went on one part, round by round.
struct Curve {
    part: String,
    metric: String,
    values: Vec<f64>,
}

pub(super) async fn run(args: ShowArgs, settings: &Settings) -> Result<()> {
    let lake = open_lake(settings).await?;
    let model = ml::model(&lake, &args.model, &args.reference).await?;
    let engine = new_engine(settings, lake, None);
    let curves = curves(&engine, &model, &args.reference).await?;
    if args.json {
        let curves = curves
            .iter()
            .map(|it| json!({"part": it.part, "metric": it.metric, "values": it.values}));
        let mut shown = to_json(&model);
        shown["curves"] = curves.collect::<Value>();
        return output::print_json(&shown);
    }
    output::print(text(&model, &curves).trim_end())
}

/// The curves of the newest run that made this very model; none where the tables do not have
/// it, such as those of a ref that was only given the model.
async fn curves(engine: &Engine, model: &ModelInfo, reference: &str) -> Result<Vec<Curve>> {
    let manifest = model.manifest_location.replace('\'', "''");
    let sql = format!(
        "select part, metric, value from ml.curves where run = \
         (select run from ml.runs where manifest = '{manifest}' order by time desc limit 1) \
         order by part, metric, round"
    );
    let (schema, batches) = match engine.collect(&sql, Some(reference)).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            return Ok(Vec::new());
        }
        found => found?,
    };
    let rows = concat_batches(&schema, &batches)
        .map_err(|e| catalog::Error::internal("curves do not fit together").with_source(e))?;
    let text = |column: usize| {
        let column = arrow::compute::cast(rows.column(column), &arrow::datatypes::DataType::Utf8);
        column.map_err(|e| catalog::Error::internal("a curve has no name").with_source(e))
    };
    let (parts, metrics) = (text(0)?, text(1)?);
    let (parts, metrics) = (parts.as_string::<i32>(), metrics.as_string::<i32>());
    let values = rows.column(2).as_primitive::<Float64Type>();
    let mut curves: Vec<Curve> = Vec::new();
    for row in 0..rows.num_rows() {
        let (part, metric) = (parts.value(row), metrics.value(row));
        let same = curves
            .last()
            .is_some_and(|it| it.part == part && it.metric == metric);
        if !same {
            curves.push(Curve {
                part: part.to_owned(),
                metric: metric.to_owned(),
                values: Vec::new(),
            });
        }
        if let Some(curve) = curves.last_mut().filter(|_| values.is_valid(row)) {
            curve.values.push(values.value(row));
        }
    }
    Ok(curves)
}

fn text(model: &ModelInfo, curves: &[Curve]) -> String {
    let manifest = &model.manifest;
    let (lineage, signature) = (&manifest.lineage, &manifest.signature);
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line(
        "model",
        format!("{} {}", model.key, version(&model.manifest_location)),
    );
    line(
        "trained by",
        format!(
            "{} {}, pumphouse {}",
            manifest.trainer, manifest.trainer_version, manifest.code_version
        ),
    );
    let label = signature.label.as_ref().map(|it| it.name.as_str());
    let of = label
        .map(str::to_owned)
        .unwrap_or_else(|| signature.targets.join(", "));
    line("task", format!("{} {of}", manifest.task).trim().to_owned());
    line("features", names(manifest));
    if signature.length > 1 {
        line(
            "window",
            format!("{} rows, {} ahead", signature.length, signature.horizon),
        );
    }
    line("data", format!("commit {}", lineage.commit));
    let rows = &lineage.rows;
    line(
        "rows",
        format!(
            "{} to learn from, {} to calibrate and stop by, {} to test on",
            rows.train, rows.validation, rows.test
        ),
    );
    line(
        "artefact",
        format!(
            "{} ({} bytes)",
            manifest.artifact.path, manifest.artifact.size
        ),
    );
    line("answers", promise(manifest.calibration.as_ref()));
    section(
        &mut text,
        "on the test part",
        &figures(manifest)
            .into_iter()
            .map(|(name, value)| (name, number(value)))
            .collect::<Vec<_>>(),
    );
    let parameters = manifest.parameters.iter();
    let parameters = parameters.map(|(name, value)| (name.clone(), value.clone()));
    section(&mut text, "parameters", &parameters.collect::<Vec<_>>());
    section(&mut text, "importance", &importance(manifest));
    let curves = curves
        .iter()
        .map(|it| (format!("{} {}", it.part, it.metric), drawn(&it.values)));
    section(
        &mut text,
        &format!("{} rounds", manifest.rounds),
        &curves.collect::<Vec<_>>(),
    );
    let _ = writeln!(text, "\nsql\n{}", indented(&lineage.sql));
    text
}

fn names(manifest: &Manifest) -> String {
    let features = &manifest.signature.features;
    let names: Vec<&str> = features.iter().map(|it| it.name.as_str()).collect();
    match names.len() {
        0..=12 => names.join(", "),
        count => format!("{}, ... ({count})", names[..12].join(", ")),
    }
}

/// What calibration promises.
fn promise(calibration: Option<&Calibration>) -> String {
    let Some(calibration) = calibration else {
        return "as they are: nothing was left to calibrate on".to_owned();
    };
    let share = number(calibration.coverage * 100.0);
    let share = share.trim_end_matches('0').trim_end_matches('.');
    let what = match &calibration.method {
        Method::Residuals { bins } => {
            format!("intervals of {share} %, apart for {} sizes", bins.len())
        }
        Method::Quantiles { .. } => format!("quantiles, widened to hold {share} %"),
        Method::Steps { .. } => format!("intervals of {share} % at each step"),
        Method::Probabilities { scaling } => match scaling {
            Scaling::None => "probabilities, which needed no correction".to_owned(),
            Scaling::Platt { .. } => "probabilities, corrected by a line (Platt)".to_owned(),
            Scaling::Beta { .. } => "probabilities, corrected at both ends (beta)".to_owned(),
            Scaling::Temperature { temperature } => {
                format!("probabilities, at a temperature of {temperature:.2}")
            }
        },
        Method::Scores { .. } => "confidence by rank among normal scores".to_owned(),
    };
    format!("{what}; from {} samples", calibration.samples)
}

/// The features that count most, with bars.
fn importance(manifest: &Manifest) -> Vec<(String, String)> {
    let mut features: Vec<_> = manifest.importance.iter().collect();
    features.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    let most = features.first().map_or(0.0, |it| *it.1);
    let bar = |value: f64| match most > 0.0 {
        true => "█".repeat(((value / most) * WIDTH as f64).round().max(0.0) as usize),
        false => String::new(),
    };
    let features = features.into_iter().take(FEATURES);
    features
        .map(|(name, value)| {
            (
                name.clone(),
                format!("{:>10} {}", number(*value), bar(*value)),
            )
        })
        .collect()
}

/// A curve as one line: from its largest value to its smallest, and where it ends.
fn drawn(values: &[f64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return String::new();
    };
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let points = values.len().min(WIDTH);
    let point = |at: usize| values[at * (values.len() - 1) / (points - 1).max(1)];
    let level = |value: f64| match high > low {
        true => LEVELS[((value - low) / (high - low) * 7.0).round() as usize],
        false => LEVELS[0],
    };
    let line: String = (0..points).map(|at| level(point(at))).collect();
    format!("{line} {} to {}", number(*first), number(*last))
}

fn section(text: &mut String, title: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    let width = rows
        .iter()
        .map(|it| it.0.chars().count())
        .max()
        .unwrap_or(0);
    let _ = writeln!(text, "\n{title}");
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<width$}  {value}");
    }
}

fn indented(sql: &str) -> String {
    let lines: Vec<String> = sql
        .trim()
        .lines()
        .map(|line| format!("  {}", line.trim_end()))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_its_first_value_to_its_last() {
        assert_eq!(drawn(&[8.0, 1.0]), "█▁ 8.0000 to 1.0000");
        assert_eq!(drawn(&[0.5]), "▁ 0.5000 to 0.5000");
        assert_eq!(drawn(&[]), "");
        let long: Vec<f64> = (0..1000).map(f64::from).collect();
        let line = drawn(&long);
        assert_eq!(line.chars().take_while(|c| *c != ' ').count(), WIDTH);
        assert!(line.starts_with('▁') && line.contains('█'), "{line}");
    }
}
