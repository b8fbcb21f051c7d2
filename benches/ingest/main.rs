//! How fast messages become durable and queryable, and what that costs, beside the broker's own
//! rate, Mosquitto and a Python peer.
//!
//! One run measures all sides in turn, the same raw publishers in front of each, and prints a
//! Markdown page. Run with `make bench`. `BENCH_ROUNDS`, `BENCH_MESSAGES` (of a round behind
//! Mosquitto), `BENCH_ROWS` (of the memory figure) and `BENCH_LOG_MIB` (of the replay) change the
//! size; `BENCH_ONLY` names the parts to run after the first: acks, puback, visible, memory, replay.
#![allow(clippy::print_stdout)]

mod acks;
mod bare;
mod load;
mod memory;
mod message;
mod peer;
mod profile;
mod queries;
mod replay;
mod report;
mod servers;
mod throughput;
mod visible;

use std::path::PathBuf;
use std::process::Command;

use report::Goals;
use servers::Mosquitto;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much to measure, and where.
struct Bench {
    folder: PathBuf,
    rounds: usize,
    /// Messages of a round behind Mosquitto; the broker inside gets four times as many, the
    /// Python peer a fifth.
    messages: u64,
    /// Rows of the memory figure.
    rows: u64,
    /// Bytes of the log that is replayed.
    log_bytes: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench {
        folder: dir.path().to_owned(),
        rounds: setting("BENCH_ROUNDS", 5)?,
        messages: setting("BENCH_MESSAGES", 300_000)?,
        rows: setting("BENCH_ROWS", 20_000_000)?,
        log_bytes: setting::<u64>("BENCH_LOG_MIB", 1_024)? << 20,
    };
    let only: String = setting("BENCH_ONLY", "acks,puback,visible,memory,replay".into())?;
    let wanted = |part| only.split(',').any(|one| one == part);

    report_machine(&bench);
    let mosquitto = Mosquitto::start(dir.path())?;
    let mut goals = Goals::default();
    let rates = throughput::measure(&bench, &mosquitto, &mut goals).await?;
    if wanted("acks") {
        acks::rates(&bench, &mosquitto, &mut goals).await?;
    }
    if wanted("puback") {
        acks::times(&bench, &mut goals).await?;
    }
    if wanted("visible") {
        visible::measure(&bench, &mosquitto, rates, &mut goals).await?;
    }
    if wanted("memory") {
        memory::measure(&bench, &mut goals).await?;
    }
    if wanted("replay") {
        replay::measure(&bench, rates, &mut goals).await?;
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

fn report_machine(bench: &Bench) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.map_or("an unknown processor", |name| {
        name.trim_start_matches([' ', '\t', ':'])
    });
    println!("# Ingest\n");
    println!(
        "Made by `make bench` on {}, version {}, release build. {cores} cores of a machine ({cpu}) are shared by publishers, brokers, Pumphouse and its client; {}, its queue limits lifted. Machines differ and are noisy: read the ratios.\n",
        said(&["date", "-I"]),
        env!("CARGO_PKG_VERSION"),
        said(&["mosquitto", "-h"]).replace("mosquitto version", "Mosquitto"),
    );
    println!(
        "All sides run in turn in each round, behind the same raw MQTT 3.1.1 publishers: QoS 1, packets made beforehand and written in blocks, {} bytes of JSON with 11 fields each, 50 pumps, values that vary as instruments do. Pumphouse is `pumphouse serve` on a local folder, its settings at their defaults but for a flush every second; where sides take turns it runs without its role of maintenance, which could fall into another's turn. A round is {} messages behind Mosquitto, {} to Pumphouse's own broker, {} to the Python peer.",
        message::Ring::payload_bytes(),
        bench.messages,
        bench.messages * 4,
        bench.messages / 5,
    );
}

/// The first line that a program prints.
fn said(command: &[&str]) -> String {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut program = Command::new(command[0]);
    let output = program.args(&command[1..]).env("PATH", path).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
