//! Peak memory over many rows at full rate, and where the processor time goes meanwhile.

use std::time::Instant;

use crate::load::Load;
use crate::profile::Profile;
use crate::report::Goals;
use crate::servers::Setup;
use crate::{Bench, Result};

/// Publishes to the broker inside as fast as it takes messages until all rows are there.
pub(crate) async fn measure(bench: &Bench, goals: &mut Goals) -> Result<()> {
    let setup = Setup::new(&bench.folder, "memory", None)?;
    let pumphouse = setup.start("flush_interval = \"1s\"")?;
    let mut queries = pumphouse.queries().await?;
    let load = Load {
        broker: pumphouse.broker()?,
        prefix: "bench",
        connections: 2,
    };
    let rows = bench.rows;
    let started = Instant::now();
    let profile = Profile::start(&bench.folder, pumphouse.id());
    let sending = tokio::task::spawn_blocking(move || load.publish(rows));
    queries.wait_for_rows(rows).await?;
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    sending.await??;
    pumphouse.settle().await?;
    let (cpu, peak) = (pumphouse.cpu_seconds()?, pumphouse.peak_memory_mib()?);
    println!("\n## Memory and processor over {rows} rows at full rate\n");
    println!(
        "| rows | msg/s | peak resident memory, MiB | processor seconds for a million messages |\n|---|---|---|---|"
    );
    println!(
        "| {rows} | {rate:.0} | {peak} | {:.2} |",
        cpu * 1e6 / rows as f64
    );
    goals.at_most(
        "peak memory over the rows at full rate, MiB",
        1024.0,
        peak as f64,
    );
    match profile.finish()? {
        Ok(stages) => {
            println!(
                "\n### Where the processor time goes\n\nperf(1) samples the stacks of the process for 10 s of that run; the innermost function that belongs to a stage decides.\n\n| stage | share | s for a million messages |\n|---|---|---|"
            );
            for (stage, share) in stages {
                println!(
                    "| {stage} | {:.1} % | {:.2} |",
                    share * 100.0,
                    share * cpu * 1e6 / rows as f64
                );
            }
        }
        Err(why) => println!("\nNo profile: {why}."),
    }
    Ok(())
}
