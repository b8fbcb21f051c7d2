//! How fast a start takes a crashed ingester's log into the lake.

use std::time::Instant;

use crate::load::Load;
use crate::report::{Goals, median};
use crate::servers::Setup;
use crate::{Bench, Result};

/// Messages published between looks at the log's size.
const STEP: u64 = 200_000;
/// Starts that are timed.
const ROUNDS: usize = 3;

/// Fills logs that nothing commits, kills the process, and times the next start until every row
/// is in a query. `rates` are those of ingest by way of Mosquitto and by the broker inside.
pub(crate) async fn measure(bench: &Bench, rates: (f64, f64), goals: &mut Goals) -> Result<()> {
    println!("\n## Replay after a crash\n");
    println!(
        "A log of which nothing is committed, the process killed; the time runs from the next start until a query counts every row.\n"
    );
    println!(
        "| round | log, MiB | messages | start until all rows are queryable, s | msg/s | over ingest behind Mosquitto | over ingest by the own broker |\n|---|---|---|---|---|---|---|"
    );
    let mut replays = Vec::new();
    for round in 1..=ROUNDS {
        let setup = Setup::new(&bench.folder, &format!("replay-{round}"), None)?;
        let messages = fill(bench, &setup).await?;
        let size = setup.log_bytes()? >> 20;
        let started = Instant::now();
        let pumphouse = setup.start("flush_interval = \"1s\"")?;
        pumphouse.queries().await?.wait_for_rows(messages).await?;
        let took = started.elapsed().as_secs_f64();
        let rate = messages as f64 / took;
        println!(
            "| {round} | {size} | {messages} | {took:.2} | {rate:.0} | {:.2} | {:.2} |",
            rate / rates.0,
            rate / rates.1
        );
        replays.push(rate);
    }
    let rate = median(replays);
    println!(
        "| median | | | | {rate:.0} | {:.2} | {:.2} |",
        rate / rates.0,
        rate / rates.1
    );
    goals.at_least(
        "replay after a crash, over ingest behind Mosquitto",
        5.0,
        rate / rates.0,
    );
    Ok(())
}

/// Leaves a log of the wanted size of which nothing is in the lake; returns its messages.
async fn fill(bench: &Bench, setup: &Setup) -> Result<u64> {
    let pumphouse = setup.start(
        "flush_interval = \"10h\"\nflush_rows = 1000000000\nflush_bytes = \"60GiB\"\nbuffer_bytes = \"120GiB\"\nlog_bytes = \"60GiB\"",
    )?;
    let mut messages = 0;
    while setup.log_bytes()? < bench.log_bytes {
        let load = Load {
            broker: pumphouse.broker()?,
            prefix: "bench",
            connections: 2,
        };
        tokio::task::spawn_blocking(move || load.publish(STEP)).await??;
        messages += STEP;
    }
    pumphouse.kill();
    Ok(messages)
}
