//! What the catalog costs: commits a second beside PyIceberg's SQLite catalog, and how opening,
//! branching and merging grow with the size of a lakehouse.
//!
//! Both sides of a ratio are measured in turn in one run. Prints a Markdown page. Run with
//! `make bench-catalog`; `BENCH_ROUNDS` and `BENCH_SECONDS` change the size.
#![allow(clippy::print_stdout)]

mod appends;
mod conflicts;
mod growth;
mod merges;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let rounds: usize = setting("BENCH_ROUNDS", 5)?;
    let seconds: u64 = setting("BENCH_SECONDS", 5)?;
    appends::measure(rounds, seconds).await?;
    growth::measure(rounds).await?;
    merges::measure(rounds).await?;
    conflicts::measure(seconds * 6).await
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

/// The middle one of `values`, which are not none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
