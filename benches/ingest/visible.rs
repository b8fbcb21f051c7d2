//! How long a message takes from its publishing until a query shows it.

use std::time::Instant;

use crate::load::{Load, Publisher};
use crate::report::{Goals, millis};
use crate::servers::{Mosquitto, Setup};
use crate::{Bench, Result};

/// Probes for one figure.
const PROBES: u64 = 300;

/// Times probes, idle and at half of each way's `(outside, inside)` rate.
pub(crate) async fn measure(
    bench: &Bench,
    mosquitto: &Mosquitto,
    rates: (f64, f64),
    goals: &mut Goals,
) -> Result<()> {
    println!("\n## Publish to visible in SQL\n");
    println!(
        "{PROBES} probes one at a time, idle and beside half of the rate measured above. A probe's time runs from its publishing, through the broker, until a query for its row over Flight SQL, asked again a millisecond after each answer, has returned it; the query's own time is in it.\n"
    );
    println!("| way | beside it, msg/s | p50, ms | p99, ms | max, ms |\n|---|---|---|---|---|");
    let ways = [
        ("behind Mosquitto", Some(mosquitto), rates.0),
        ("own broker", None, rates.1),
    ];
    for (name, outside, rate) in ways {
        let setup = Setup::new(&bench.folder, "visible", outside.map(|m| m.address))?;
        let pumphouse = setup.start("flush_interval = \"1s\"")?;
        let broker = match outside {
            Some(mosquitto) => mosquitto.address,
            None => pumphouse.broker()?,
        };
        let mut queries = pumphouse.queries().await?;
        let mut probe = Publisher::connect(broker, "bench-probe")?;
        let mut number = 0;
        for beside in [0.0, rate / 2.0] {
            let load = Load {
                broker,
                prefix: "bench",
                connections: 2,
            };
            let background = (beside > 0.0).then(|| load.start(beside)).transpose()?;
            let mut times = Vec::new();
            for _ in 0..PROBES {
                number += 1;
                let started = Instant::now();
                probe.probe("bench", number)?;
                queries.wait_for_probe(number).await?;
                times.push(started.elapsed());
            }
            if let Some(background) = background {
                tokio::task::spawn_blocking(|| background.stop()).await??;
            }
            // The first ones meet no table yet.
            let times = &mut times[PROBES as usize / 10..];
            times.sort();
            let at = |percentile| millis(times, percentile);
            println!(
                "| {name} | {beside:.0} | {:.1} | {:.1} | {:.1} |",
                at(50.0),
                at(99.0),
                at(100.0)
            );
            if beside > 0.0 {
                goals.at_most(
                    &format!("publish to visible at half the rate, {name}, p99 in ms"),
                    100.0,
                    at(99.0),
                );
            }
        }
    }
    Ok(())
}
