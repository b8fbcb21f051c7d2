//! The pumps of the demo, and the counter that shows their rows arriving.

use std::time::Duration;

use catalog::{Error, Result};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use ingest::IngestStats;
use tokio::time::Instant;

use crate::server::Server;
use crate::simulate::publisher::{BrokerAddress, Publisher};
use crate::simulate::{Fleet, FleetPlan};

/// Simulated time between two readings of a pump.
const INTERVAL: TimeDelta = TimeDelta::seconds(15);
/// Longest wait for acknowledged messages to show up as rows.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);

/// The fleet, its publisher and how much it sends.
pub(super) struct Pumps {
    fleet: Fleet,
    publisher: Publisher,
    pub(super) plan: FleetPlan,
    /// Simulated hours of history, and hours after the training.
    pub(super) history: u32,
    pub(super) live: u32,
    sent: u64,
}

/// What sending some hours came to.
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) elapsed: Duration,
    pub(super) stats: IngestStats,
}

impl Pumps {
    /// Connects the pumps to the broker of `server`.
    pub(super) async fn connect(server: &Server, fast: bool) -> Result<Self> {
        let (pumps, history, live) = if fast { (12, 8, 1) } else { (24, 12, 2) };
        let plan = FleetPlan {
            pumps,
            sites: 3,
            seed: 1,
            fault_share: 0.5,
            start: yesterday(),
            interval: INTERVAL,
        };
        let address = server
            .mqtt
            .ok_or_else(|| Error::internal("the demo's server has no broker"))?;
        let broker = BrokerAddress::parse(&format!("mqtt://{address}"))?;
        Ok(Self {
            fleet: Fleet::new(&plan)?,
            publisher: Publisher::connect(&broker, "demo").await?,
            plan,
            history,
            live,
            sent: 0,
        })
    }

    /// Event time of the first reading after the training.
    pub(super) fn live_from(&self) -> DateTime<Utc> {
        self.plan.start + TimeDelta::hours(self.history.into())
    }

    /// Sends `hours` of readings and returns once every one of them is a row.
    pub(super) async fn run(&mut self, server: &Server, hours: u32) -> Result<Sent> {
        let readings = TimeDelta::hours(hours.into()).num_seconds() / INTERVAL.num_seconds();
        let messages = u64::try_from(readings).unwrap_or(0) * self.plan.pumps as u64;
        let bar = counter(messages);
        let started = Instant::now();
        self.sent += messages;
        let sent = {
            let sending = self.send(messages);
            tokio::pin!(sending);
            loop {
                tokio::select! {
                    sent = &mut sending => break sent,
                    () = tokio::time::sleep(Duration::from_millis(100)) => tell(&bar, server).await,
                }
            }
        };
        bar.finish_and_clear();
        sent?;
        let elapsed = started.elapsed();
        Ok(Sent {
            messages,
            elapsed,
            stats: self.visible(server).await?,
        })
    }

    async fn send(&mut self, messages: u64) -> Result<()> {
        for _ in 0..messages {
            let message = self.fleet.next();
            let message = message.ok_or_else(|| Error::internal("the pumps ran out of time"))?;
            self.publisher.publish(message).await?;
        }
        self.publisher.settle().await?;
        Ok(())
    }

    /// Waits until all that was acknowledged is in the table.
    async fn visible(&self, server: &Server) -> Result<IngestStats> {
        let deadline = Instant::now() + VISIBLE_WITHIN;
        loop {
            let stats = stats(server).await?;
            if stats.rows + stats.dead_letters >= self.sent {
                return Ok(stats);
            }
            if Instant::now() > deadline {
                let trouble = stats
                    .last_error
                    .unwrap_or_else(|| "no error is known".to_owned());
                return Err(Error::internal(format!(
                    "only {} of {} messages became rows: {trouble}",
                    stats.rows, self.sent
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes leave of the broker.
    pub(super) async fn stop(self) -> Result<()> {
        self.publisher.finish().await.map(drop)
    }
}

async fn stats(server: &Server) -> Result<IngestStats> {
    let stats = server.ingest_stats().await;
    stats.ok_or_else(|| Error::internal("the demo's server does not ingest"))
}

/// Rows after which the demo commits: some commits while the history arrives.
pub(super) fn flush_rows(fast: bool) -> usize {
    if fast { 7_000 } else { 20_000 }
}

/// The same hour every day, so that every demo shows the same.
fn yesterday() -> DateTime<Utc> {
    let today = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc();
    today - TimeDelta::days(1)
}

fn counter(messages: u64) -> ProgressBar {
    let bar = ProgressBar::new(messages);
    if let Ok(style) = ProgressStyle::with_template("   {spinner} [{bar:12}] {msg}") {
        bar.set_style(style);
    }
    bar
}

async fn tell(bar: &ProgressBar, server: &Server) {
    if let Some(stats) = server.ingest_stats().await {
        bar.set_position(stats.acked);
        bar.set_message(format!(
            "{} acknowledged, {} rows, {} in files",
            HumanCount(stats.acked),
            HumanCount(stats.rows),
            HumanCount(stats.committed_rows),
        ));
    }
}
