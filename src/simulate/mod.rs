//! `pumphouse simulate`: pumps to try Pumphouse with, when there are no real ones.
//!
//! [`machine`] is the hydraulics, [`pump`] one pump through time, [`fault`] what goes wrong
//! with it, [`fleet`] many pumps and their messages; [`publisher`] brings messages to a
//! broker, also those of `replay` and `demo`.

mod duty;
mod fault;
mod fleet;
mod machine;
pub(crate) mod publisher;
mod pump;
mod span;

use catalog::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;

use crate::output;
use crate::settings::Settings;
pub(crate) use fleet::{Fleet, FleetPlan};
use publisher::{BrokerAddress, publish_all};

/// Publish the telemetry of simulated pumps.
///
/// Each pump follows its pump curve against the pipework, ramps on and off, warms and
/// cools, and some develop cavitation, worn bearings or leaks, which their readings name
/// in the field `fault`. Messages go to pumps/SITE/PUMP/telemetry at QoS 1. Runs until
/// Ctrl-C unless --count or --duration says how much.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse simulate                                     ten pumps, a reading a second each
  pumphouse simulate --pumps 200 --rate 0 --count 100000 as fast as the broker takes them
  pumphouse simulate --duration 24h --interval 10s --rate 0 --start 2026-03-01T00:00:00Z
                                                         a day of history at once")]
pub(crate) struct SimulateArgs {
    /// Broker to publish to [default: the one in the settings, mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Number of pumps
    #[arg(long, value_name = "N", default_value_t = 10)]
    pumps: usize,
    /// Number of sites the pumps stand at
    #[arg(long, value_name = "N", default_value_t = 2)]
    sites: usize,
    /// Messages per second; 0 is as fast as the broker takes them [default: real time]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Stop after so many messages
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    count: Option<u64>,
    /// Stop after so much simulated time (15m, 24h)
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    duration: Option<TimeDelta>,
    /// Simulated time between two readings of a pump
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span::parse)]
    interval: TimeDelta,
    /// Time of the first readings, as 2026-03-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = start_time)]
    start: Option<DateTime<Utc>>,
    /// Share of the pumps that develop faults, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    fault_share: f64,
    /// Same seed, same readings
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Publishes until the count is reached or Ctrl-C, and reports.
pub(crate) async fn run(args: SimulateArgs, settings: Settings) -> Result<()> {
    let plan = args.plan();
    let fleet = Fleet::new(&plan)?;
    let total = args.total()?;
    let broker = BrokerAddress::find(args.broker.as_deref(), &settings)?;
    let rate = args
        .rate
        .unwrap_or_else(|| plan.pumps as f64 / plan.interval.as_seconds_f64());
    let limit = total.map_or(usize::MAX, |total| {
        usize::try_from(total).unwrap_or(usize::MAX)
    });
    let messages = fleet.take(limit).map(Ok);
    let report = publish_all(&broker, "simulate", messages, rate, total).await?;
    output::print(&report.to_string())?;
    if let Some(remark) = report.remark() {
        output::complain(&remark);
    }
    Ok(())
}

impl SimulateArgs {
    fn plan(&self) -> FleetPlan {
        FleetPlan {
            pumps: self.pumps,
            sites: self.sites,
            seed: self.seed,
            fault_share: self.fault_share,
            start: self.start.unwrap_or_else(Utc::now),
            interval: self.interval,
        }
    }

    /// Messages to send, when that was said.
    fn total(&self) -> Result<Option<u64>> {
        let Some(duration) = self.duration else {
            return Ok(self.count);
        };
        let readings = duration.num_milliseconds() / self.interval.num_milliseconds();
        u64::try_from(readings)
            .ok()
            .and_then(|readings| readings.checked_mul(self.pumps as u64))
            .map(Some)
            .ok_or_else(|| Error::invalid("--duration holds more messages than can be counted"))
    }
}

fn start_time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse()
        .map_err(|_| "write a time as 2026-03-01T00:00:00Z".to_owned())
}

/// Reads messages per second; 0 is as fast as the broker takes them.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text
        .parse()
        .map_err(|_| "write messages per second as a number")?;
    if rate.is_finite() && rate >= 0.0 {
        return Ok(rate);
    }
    Err("a rate is 0 or more messages per second".to_owned())
}
