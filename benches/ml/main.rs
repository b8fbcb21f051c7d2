//! What training and prediction cost, beside the libraries people use from Python, and how
//! good the models are on public data.
//!
//! Both sides of a ratio are measured in turn in one run. Prints a Markdown page. Run with
//! `make bench-ml`; arguments name the parts to run, all without: `xgboost`, `gru`,
//! `tinytimemixer`, `dataset`, `predict`, `serve`, `forecast`. `BENCH_ROUNDS` and `BENCH_ROWS`
//! change the size.
#![allow(clippy::print_stdout)]

mod dataset;
mod forecast;
mod gru;
mod lake;
mod predict;
mod python;
mod report;
mod serve;
mod tinytimemixer;
mod xgboost;

use report::Goals;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much to measure.
struct Bench {
    /// Rounds of a part; each measures both sides.
    rounds: usize,
    /// Rows of the generated data.
    rows: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let bench = Bench {
        rounds: setting("BENCH_ROUNDS", 7)?,
        rows: setting("BENCH_ROWS", 100_000)?,
    };
    // Cargo adds flags of its own.
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let parts: Vec<&str> = parts.into_iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);

    report::machine("Machine learning", "make bench-ml");
    let mut goals = Goals::default();
    if wanted("xgboost") {
        xgboost::measure(&bench, &mut goals)?;
    }
    if wanted("gru") {
        gru::measure(&bench, &mut goals)?;
    }
    if wanted("dataset") {
        dataset::run(&bench, &mut goals).await?;
    }
    if wanted("predict") {
        predict::measure(&bench, &mut goals).await?;
    }
    if wanted("serve") {
        serve::measure(&mut goals).await?;
    }
    if wanted("tinytimemixer") {
        tinytimemixer::measure(&bench)?;
    }
    if wanted("forecast") {
        forecast::measure().await?;
    }
    goals.print();
    Ok(())
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(match std::env::var(name) {
        Ok(text) => text.parse()?,
        Err(_) => default,
    })
}
