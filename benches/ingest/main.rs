//! How fast messages become durable and queryable, beside what the broker can deliver at all.
//!
//! One run measures both sides in turn: a bare `rumqttc` subscriber that only counts, and
//! `pumphouse serve`, each behind the same real Mosquitto and the same raw publisher. Prints a
//! Markdown page. Run with `make bench`; `BENCH_MESSAGES` and `BENCH_ROUNDS` change the size.
#![allow(clippy::print_stdout)]

mod bare;
mod publisher;
mod queries;
mod servers;

use publisher::Publisher;
use queries::Queries;
use servers::{Mosquitto, Pumphouse};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PUBLISHERS: u64 = 2;
const PROBES: u64 = 300;

#[tokio::main]
async fn main() -> Result<()> {
    let messages: u64 = setting("BENCH_MESSAGES", 400_000)?;
    let rounds: usize = setting("BENCH_ROUNDS", 5)?;
    let dir = tempfile::tempdir()?;
    let broker = Mosquitto::start(dir.path())?;
    let pumphouse = Pumphouse::start(dir.path(), broker.address)?;
    let mut queries = Queries::connect(pumphouse.flight).await?;

    report_machine(messages, rounds);
    throughput(&broker, &mut queries, messages, rounds).await?;
    latency(&broker, &mut queries).await?;
    println!(
        "\nPeak resident memory of `pumphouse serve` over the whole run: {} MiB.",
        pumphouse.peak_memory_mib()?
    );
    Ok(())
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: std::error::Error + 'static,
{
    Ok(match std::env::var(name) {
        Ok(text) => text.parse()?,
        Err(_) => default,
    })
}

fn report_machine(messages: u64, rounds: usize) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{rounds} rounds of {messages} messages, {} bytes each, QoS 1, {PUBLISHERS} publishers, {cores} cores shared by publisher, broker and subscriber.\n",
        payload(0, 0).len()
    );
}

/// Rounds of bare subscriber, then Pumphouse; prints one row a round and the median ratio.
async fn throughput(
    broker: &Mosquitto,
    queries: &mut Queries,
    messages: u64,
    rounds: usize,
) -> Result<()> {
    println!(
        "| round | bare subscriber, msg/s | pumphouse, durable and queryable, msg/s | ratio |"
    );
    println!("|---|---|---|---|");
    let mut ratios = Vec::new();
    let mut expected = 0;
    for round in 1..=rounds {
        let bare = bare::count(broker.address, messages, move |address| {
            publish_all(address, "bare/p1/telemetry", messages)
        })
        .await?;
        expected += messages;
        let started = Instant::now();
        let address = broker.address;
        let sending = tokio::task::spawn_blocking(move || {
            publish_all(address, "bench/p1/telemetry", messages).map_err(|e| e.to_string())
        });
        queries.wait_for_rows(expected).await?;
        let ours = messages as f64 / started.elapsed().as_secs_f64();
        sending.await??;
        println!("| {round} | {bare:.0} | {ours:.0} | {:.2} |", ours / bare);
        ratios.push(ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nMedian ratio: {:.2}.", ratios[ratios.len() / 2]);
    Ok(())
}

/// Publishes one probe at a time and asks for it until it is there, once idle and once under load.
async fn latency(broker: &Mosquitto, queries: &mut Queries) -> Result<()> {
    println!("\n| publish to visible in SQL | p50, ms | p99, ms |");
    println!("|---|---|---|");
    for (name, load) in [("idle", 0), ("with 5,000 msg/s beside it", 5_000)] {
        let stop = background_load(broker.address, load);
        let mut probe = Publisher::connect(broker.address, "bench-probe")?;
        let mut times = Vec::new();
        for n in 0..PROBES {
            let id = load * 1_000_000 + n + 1;
            let started = Instant::now();
            probe.publish("bench/probe/telemetry", 1, |_| payload(1, id))?;
            queries.wait_for_probe(id).await?;
            times.push(started.elapsed());
        }
        drop(stop);
        times.sort();
        println!(
            "| {name} | {} | {} |",
            millis(&times, 50),
            millis(&times, 99)
        );
    }
    Ok(())
}

fn millis(sorted: &[Duration], percentile: usize) -> String {
    let index = (sorted.len() * percentile / 100).min(sorted.len() - 1);
    format!("{:.1}", sorted[index].as_secs_f64() * 1_000.0)
}

/// Publishes at `rate` messages a second in the background until the returned guard is dropped.
fn background_load(broker: SocketAddr, rate: u64) -> std::sync::mpsc::Sender<()> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    if rate > 0 {
        std::thread::spawn(move || {
            let mut load = Publisher::connect(broker, "bench-load")?;
            let tick = Duration::from_millis(10);
            while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(tick) {
                load.publish("bench/load/telemetry", rate / 100, |n| payload(2, n))?;
            }
            std::io::Result::Ok(())
        });
    }
    stop
}

fn publish_all(broker: SocketAddr, topic: &str, messages: u64) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..PUBLISHERS)
            .map(|p| {
                scope.spawn(move || {
                    let mut publisher =
                        Publisher::connect(broker, &format!("bench-publisher-{p}"))?;
                    let share = messages / PUBLISHERS + u64::from(p < messages % PUBLISHERS);
                    publisher.publish(topic, share, |n| payload(p, n))
                })
            })
            .collect();
        for sender in senders {
            sender
                .join()
                .map_err(|_| std::io::Error::other("a publisher panicked"))??;
        }
        Ok(())
    })
}

/// 200 bytes of JSON as a pump sends it.
fn payload(publisher: u64, n: u64) -> String {
    let time = 1_793_000_000_000 + n;
    format!(
        r#"{{"ts":{time},"probe":{n:>11},"publisher":{publisher},"pressure_bar":4.812,"flow_m3h":31.275,"vibration_mm_s":2.173,"temperature_c":54.62,"current_a":17.94,"running":true,"fault":"none","fw":"4.11.2"}}"#
    )
}
