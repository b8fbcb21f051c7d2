//! Messages a second that are durable and queryable, beside a counter, beside the other way in,
//! and beside a Python peer; and what they cost in processor time.

use std::time::Instant;

use crate::load::Load;
use crate::queries::Queries;
use crate::report::{Goals, median};
use crate::servers::{Mosquitto, Pumphouse, Setup};
use crate::{Bench, Result, bare, peer};

/// Connections of the publishers.
const CONNECTIONS: u64 = 2;

/// A Pumphouse and what it has been sent so far.
struct Side {
    pumphouse: Pumphouse,
    queries: Queries,
    load: Load,
    rows: u64,
    _setup: Setup,
}

/// What one measurement of a side gave.
struct Run {
    rate: f64,
    /// Processor seconds for a million messages.
    cpu: f64,
}

impl Side {
    /// Measures until `messages` are counted by a query and the rest of the work is done.
    async fn run(&mut self, messages: u64) -> Result<Run> {
        self.rows += messages;
        let cpu = self.pumphouse.cpu_seconds()?;
        let started = Instant::now();
        let load = self.load.clone();
        let sending = tokio::task::spawn_blocking(move || load.publish(messages));
        self.queries.wait_for_rows(self.rows).await?;
        let rate = messages as f64 / started.elapsed().as_secs_f64();
        sending.await??;
        self.pumphouse.settle().await?;
        let cpu = self.pumphouse.cpu_seconds()? - cpu;
        Ok(Run {
            rate,
            cpu: cpu * 1e6 / messages as f64,
        })
    }
}

/// Prints a row a round; returns the median rates by way of Mosquitto and by the broker inside.
pub(crate) async fn measure(
    bench: &Bench,
    mosquitto: &Mosquitto,
    goals: &mut Goals,
) -> Result<(f64, f64)> {
    let through = |prefix| Load {
        broker: mosquitto.address,
        prefix,
        connections: CONNECTIONS,
    };
    let mut outside = side(bench, "outside", Some(mosquitto)).await?;
    let mut inside = side(bench, "inside", None).await?;
    // The first messages make the table, the caches and the threads.
    outside.run(bench.messages / 10).await?;
    inside.run(bench.messages / 10).await?;

    println!("\n## Durable and queryable\n");
    println!(
        "{CONNECTIONS} publishers. *Bare counter* is a `rumqttc` subscriber that only counts. Pumphouse's time ends when `select count(*)` over Flight SQL, asked every 50 ms, counts every message: by then each is synced to the write-ahead log, acknowledged, decoded and in the table; rows are flushed to Iceberg files meanwhile. *Python peer* is a paho subscriber whose rows pyarrow and deltalake append every second, behind the same Mosquitto; its time ends with the last append.\n"
    );
    println!(
        "| round | bare counter, msg/s | Pumphouse behind Mosquitto, msg/s | Pumphouse's broker, msg/s | Python peer, rows/s | behind Mosquitto / counter | own broker / behind Mosquitto | own broker / peer | behind Mosquitto / peer |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut columns: [Vec<f64>; 9] = Default::default();
    for round in 1..=bench.rounds {
        let bare = bare::count(&through("bare"), bench.messages).await?;
        let out = outside.run(bench.messages).await?;
        let own = inside.run(bench.messages * 4).await?;
        let peer =
            peer::rows_per_second(&bench.folder, &through("peer"), bench.messages / 5).await?;
        let ratios = [
            out.rate / bare,
            own.rate / out.rate,
            own.rate / peer,
            out.rate / peer,
        ];
        println!(
            "| {round} | {bare:.0} | {:.0} | {:.0} | {peer:.0} | {:.2} | {:.2} | {:.1} | {:.1} |",
            out.rate, own.rate, ratios[0], ratios[1], ratios[2], ratios[3]
        );
        let measured = [
            out.rate, own.rate, ratios[0], ratios[1], ratios[2], ratios[3], out.cpu, own.cpu, peer,
        ];
        columns
            .iter_mut()
            .zip(measured)
            .for_each(|(column, value)| column.push(value));
    }
    let [
        out,
        own,
        of_bare,
        of_out,
        of_peer,
        out_of_peer,
        out_cpu,
        own_cpu,
        _,
    ] = columns.map(median);
    println!(
        "| median | | {out:.0} | {own:.0} | | {of_bare:.2} | {of_out:.2} | {of_peer:.1} | {out_of_peer:.1} |"
    );
    println!(
        "\nProcessor time counts user and kernel of the whole process, from the first message until the last row is committed.\n"
    );
    println!(
        "| processor seconds of `pumphouse serve` for a million messages, to the last commit | |\n|---|---|"
    );
    println!("| behind Mosquitto | {out_cpu:.2} |\n| own broker | {own_cpu:.2} |");
    goals.at_least(
        "durable and queryable behind Mosquitto, over a bare counter",
        0.8,
        of_bare,
    );
    goals.at_least(
        "durable and queryable through the own broker, over behind Mosquitto",
        4.0,
        of_out,
    );
    goals.at_least(
        "rows/s through the own broker, over the Python peer",
        20.0,
        of_peer,
    );
    Ok((out, own))
}

async fn side(bench: &Bench, name: &str, mosquitto: Option<&Mosquitto>) -> Result<Side> {
    let setup = Setup::new(&bench.folder, name, mosquitto.map(|m| m.address))?;
    let setup = setup.without_maintenance();
    let pumphouse = setup.start("flush_interval = \"1s\"")?;
    let broker = match mosquitto {
        Some(mosquitto) => mosquitto.address,
        None => pumphouse.broker()?,
    };
    Ok(Side {
        queries: pumphouse.queries().await?,
        pumphouse,
        load: Load {
            broker,
            prefix: "bench",
            connections: CONNECTIONS,
        },
        rows: 0,
        _setup: setup,
    })
}
