//! The data of the replays: 16 runs of a valve test rig, in the shape of SKAB.
//!
//! [SKAB](https://github.com/waico/SKAB) is not part of this repository. Where its folder
//! `valve1` is found its files are replayed; elsewhere files of the same shape are made:
//! one row a second, eight sensors, numbers with many digits.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, TimeDelta};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::checkout;

/// How many runs there are.
const RUNS: usize = 16;

/// The stream that takes them in.
pub(crate) const STREAM: &str = r#"name = "rigs"
topic = "rigs/{rig}/telemetry"
table = "rigs.telemetry"
time = "datetime"
"#;

const HEADER: &str = "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;\
    Temperature;Thermocouple;Voltage;Volume Flow RateRMS;anomaly;changepoint";

/// The 16 files `0.csv` to `15.csv`: real ones where there are any, else made in `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Some(real) = real() else {
        return made(folder);
    };
    println!("replaying the files in {}", real.display());
    paths(&real)
}

/// The 16 files of the same shape, made in `folder`, with as many digits as a number has.
pub(crate) fn made(folder: &Path) -> Vec<PathBuf> {
    let paths = paths(folder);
    paths
        .iter()
        .enumerate()
        .for_each(|(run, path)| make(path, run));
    paths
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    (0..RUNS)
        .map(|run| folder.join(format!("{run}.csv")))
        .collect()
}

/// Where the runs are published: `rigs/valve1-3/telemetry` for `3.csv`.
pub(crate) const TOPIC: &str = "rigs/valve1-{file}/telemetry";

/// What the server subscribes to for the stream.
pub(crate) const FILTER: &str = "rigs/+/telemetry";

/// How many rows the files have.
pub(crate) fn row_count(files: &[PathBuf]) -> u64 {
    let rows = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count() as u64 - 1;
    files.iter().map(rows).sum()
}

/// Folder `valve1` of SKAB: as PUMPHOUSE_TEST_SKAB says, or as `data/skab/valve1` in a
/// folder beside the checkout.
fn real() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("PUMPHOUSE_TEST_SKAB") {
        return Some(folder.into());
    }
    let beside = std::fs::read_dir(checkout().parent()?).ok()?;
    let mut found: Vec<_> = beside
        .filter_map(|entry| Some(entry.ok()?.path().join("data/skab/valve1")))
        .filter(|folder| folder.join("15.csv").exists())
        .collect();
    found.sort();
    found.into_iter().next()
}

fn make(path: &Path, run: usize) {
    let mut random = StdRng::seed_from_u64(run as u64);
    let start = NaiveDate::from_ymd_opt(2020, 3, 9)
        .unwrap()
        .and_hms_opt(10, 14, 33)
        .unwrap()
        + TimeDelta::minutes(20 * run as i64);
    let mut text = format!("{HEADER}\n");
    for second in 0..random.random_range(1080..1160) {
        let fault = if (600..1000).contains(&second) {
            1.0
        } else {
            0.0
        };
        let mut value =
            |usual: f64, spread: f64| usual + spread * (random.random_range(-1.0..1.0) + fault);
        let sensors = [
            value(0.0266, 0.002),
            value(0.0401, 0.002),
            value(1.33, 0.6),
            value(0.05, 0.4),
            value(79.0, 9.0),
            value(26.0, 1.0),
            value(233.0, 10.0),
            value(32.0, 1e-9),
        ];
        let time = start + TimeDelta::seconds(second);
        write!(text, "{}", time.format("%Y-%m-%d %H:%M:%S")).unwrap();
        sensors
            .iter()
            .for_each(|sensor| write!(text, ";{sensor}").unwrap());
        let change = if second == 600 || second == 1000 {
            "1.0"
        } else {
            "0.0"
        };
        writeln!(text, ";{fault:.1};{change}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}
