//! Medians, percentiles, and the table of goals at the end.

use std::time::Duration;

/// The middle one of `values`, which are not none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The `percentile`th of `sorted` times, in milliseconds.
pub(crate) fn millis(sorted: &[Duration], percentile: f64) -> f64 {
    let index = (sorted.len() as f64 * percentile / 100.0) as usize;
    let time = sorted.get(index.min(sorted.len().saturating_sub(1)));
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

/// What was to be reached, and what was.
#[derive(Default)]
pub(crate) struct Goals {
    lines: Vec<String>,
}

impl Goals {
    /// A figure that is to be at least `goal`.
    pub(crate) fn at_least(&mut self, figure: &str, goal: f64, measured: f64) {
        self.add(
            figure,
            &format!("at least {goal}"),
            measured,
            measured >= goal,
        );
    }

    /// A figure that is to be at most `goal`.
    pub(crate) fn at_most(&mut self, figure: &str, goal: f64, measured: f64) {
        self.add(
            figure,
            &format!("at most {goal}"),
            measured,
            measured <= goal,
        );
    }

    fn add(&mut self, figure: &str, goal: &str, measured: f64, reached: bool) {
        let reached = if reached { "yes" } else { "no" };
        let line = format!("| {figure} | {goal} | {measured:.2} | {reached} |");
        self.lines.push(line);
    }

    /// Prints them as a table.
    pub(crate) fn print(&self) {
        println!("\n## Goals\n\n| figure | goal | measured | reached |\n|---|---|---|---|");
        for line in &self.lines {
            println!("{line}");
        }
    }
}
