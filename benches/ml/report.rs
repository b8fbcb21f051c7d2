//! The head of the page, medians, and the table of goals at its end.
use std::process::Command;

/// Prints the title, and where and how the page was made.
pub(crate) fn machine(title: &str, command: &str) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.map_or("an unknown processor", |name| {
        name.trim_start_matches([' ', '\t', ':'])
    });
    let date = Command::new("date").arg("-I").output();
    let date = date.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    let profile = match cfg!(debug_assertions) {
        true => "development build",
        false => "release build",
    };
    println!("# {title}\n");
    println!(
        "Made by `{command}` on {}, version {}, {profile}, {cores} cores ({cpu}). Machines differ and are noisy: read the ratios. Both sides of a ratio take turns in one run, each warmed first, and the median of the rounds counts.\n",
        date.unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
    );
}

/// The middle one of `values`, which are not none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
        let line = format!("| {figure} | {goal} | {measured:.3} | {reached} |");
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
