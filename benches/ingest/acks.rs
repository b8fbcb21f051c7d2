//! What publishers see: acknowledged messages a second beside Mosquitto, and how long a PUBACK
//! takes.

use std::io::{Result as IoResult, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::load::{self, Load};
use crate::message::Ring;
use crate::report::{Goals, median, millis};
use crate::servers::{Mosquitto, Setup};
use crate::{Bench, Result};

/// Connections of the publishers that are compared.
const CONNECTIONS: [u64; 3] = [1, 2, 8];

/// The rate at which PUBACKs are timed, in messages a second, and its connections.
const TIMED_RATE: u64 = 10_000;
const TIMED_CONNECTIONS: u64 = 10;
const TIMED: Duration = Duration::from_secs(10);

/// What the disk alone is measured with: about ten messages of the log.
const SYNC: [u8; 2_500] = [b'x'; 2_500];
const SYNCS: usize = 2_000;

/// Acknowledged messages a second: Mosquitto, which syncs nothing, then Pumphouse.
pub(crate) async fn rates(bench: &Bench, mosquitto: &Mosquitto, goals: &mut Goals) -> Result<()> {
    let setup = Setup::new(&bench.folder, "acks", None)?.without_maintenance();
    let pumphouse = setup.start("flush_interval = \"1s\"")?;
    let own = pumphouse.broker()?;
    println!("\n## Acknowledged to publishers\n");
    println!(
        "Publishers only: nobody subscribes to Mosquitto, which acknowledges what it has in memory. Pumphouse acknowledges what is synced, and decodes and flushes it meanwhile.\n"
    );
    println!(
        "| connections | round | Mosquitto without a sync, msg/s | Pumphouse's broker, each synced, msg/s | ratio |"
    );
    println!("|---|---|---|---|---|");
    let mut all = Vec::new();
    for connections in CONNECTIONS {
        let mut ratios = Vec::new();
        for round in 1..=bench.rounds.min(3) {
            let theirs = rate(mosquitto.address, "acked", connections, bench.messages).await?;
            let ours = rate(own, "bench", connections, bench.messages * 4).await?;
            pumphouse.settle().await?;
            let ratio = ours / theirs;
            println!("| {connections} | {round} | {theirs:.0} | {ours:.0} | {ratio:.2} |");
            ratios.push(ratio);
        }
        let ratio = median(ratios);
        println!("| {connections} | median | | | {ratio:.2} |");
        all.push(ratio);
    }
    let least = all.into_iter().fold(f64::INFINITY, f64::min);
    goals.at_least(
        "acknowledged and synced, over Mosquitto without a sync, least of 1, 2 and 8 connections",
        3.0,
        least,
    );
    Ok(())
}

async fn rate(
    broker: SocketAddr,
    prefix: &'static str,
    connections: u64,
    messages: u64,
) -> Result<f64> {
    let load = Load {
        broker,
        prefix,
        connections,
    };
    let took = tokio::task::spawn_blocking(move || load.publish(messages)).await??;
    Ok(messages as f64 / took.as_secs_f64())
}

/// From writing a message until its PUBACK is read, at a steady rate on the broker inside.
pub(crate) async fn times(bench: &Bench, goals: &mut Goals) -> Result<()> {
    let setup = Setup::new(&bench.folder, "puback", None)?;
    let pumphouse = setup.start("flush_interval = \"1s\"")?;
    let broker = pumphouse.broker()?;
    let measure = |time| tokio::task::spawn_blocking(move || timed(broker, time));
    measure(Duration::from_secs(2)).await??;
    let mut times = measure(TIMED).await??;
    times.sort();
    println!("\n## Publish to PUBACK\n");
    println!(
        "{TIMED_RATE} msg/s over {TIMED_CONNECTIONS} connections for {} s, one packet a write, to Pumphouse's own broker; rows are decoded and flushed meanwhile.\n",
        TIMED.as_secs()
    );
    println!("| messages | p50, ms | p99, ms | p99.9, ms | max, ms |\n|---|---|---|---|---|");
    let at = |percentile| millis(&times, percentile);
    println!(
        "| {} | {:.2} | {:.2} | {:.2} | {:.2} |",
        times.len(),
        at(50.0),
        at(99.0),
        at(99.9),
        at(100.0)
    );
    let disk = syncs(&bench.folder)?;
    println!(
        "\nThe disk alone, {} bytes appended and synced {SYNCS} times right after: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms. No PUBACK can be quicker than that.",
        SYNC.len(),
        millis(&disk, 50.0),
        millis(&disk, 99.0),
        millis(&disk, 100.0)
    );
    goals.at_most(
        "publish to PUBACK at 10,000 msg/s, p99 in ms",
        10.0,
        at(99.0),
    );
    Ok(())
}

/// How long the disk takes to append and sync, sorted.
fn syncs(folder: &Path) -> IoResult<Vec<Duration>> {
    let mut file = std::fs::File::create(folder.join("syncs"))?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&SYNC)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times)
}

fn timed(broker: SocketAddr, time: Duration) -> IoResult<Vec<Duration>> {
    std::thread::scope(|scope| {
        let started = Instant::now();
        let connections: Vec<_> = (0..TIMED_CONNECTIONS)
            .map(|p| scope.spawn(move || Timed::connect(broker, p)?.run(started, time)))
            .collect();
        let mut times = Vec::new();
        for connection in connections {
            times.extend(load::joined(connection.join())?);
        }
        Ok(times)
    })
}

/// A connection whose writer does not wait for acknowledgements and whose reader times them.
struct Timed {
    stream: TcpStream,
    ring: Ring,
    /// When the message of each packet id was written, in nanoseconds since the start.
    sent: Arc<Vec<AtomicU64>>,
}

impl Timed {
    fn connect(broker: SocketAddr, p: u64) -> IoResult<Self> {
        let publisher = load::Publisher::connect(broker, &format!("bench-timed-{p}"))?;
        Ok(Self {
            stream: publisher.into_stream(),
            ring: Ring::new("bench", p),
            sent: Arc::new((0..=u16::MAX).map(|_| AtomicU64::new(0)).collect()),
        })
    }

    fn run(mut self, started: Instant, time: Duration) -> IoResult<Vec<Duration>> {
        let every = Duration::from_secs(1) * TIMED_CONNECTIONS as u32 / TIMED_RATE as u32;
        let count = (time.as_nanos() / every.as_nanos()) as usize;
        let (reader, sent) = (self.stream.try_clone()?, Arc::clone(&self.sent));
        let reading = std::thread::spawn(move || read_times(reader, &sent, started, count));
        let mut id = 0;
        for n in 0..count {
            let due = every * n as u32;
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            let (packet, _) = self.ring.packets(1, &mut id, n as u64);
            let now = started.elapsed().as_nanos() as u64;
            self.sent[usize::from(id)].store(now, Ordering::Relaxed);
            self.stream.write_all(packet)?;
        }
        load::joined(reading.join())
    }
}

fn read_times(
    mut stream: TcpStream,
    sent: &[AtomicU64],
    started: Instant,
    count: usize,
) -> IoResult<Vec<Duration>> {
    let (mut times, mut unread) = (Vec::with_capacity(count), Vec::new());
    while times.len() < count {
        load::read_acks(&mut stream, &mut unread, |id| {
            let sent = Duration::from_nanos(sent[usize::from(id)].load(Ordering::Relaxed));
            times.push(started.elapsed().saturating_sub(sent));
        })?;
    }
    Ok(times)
}
