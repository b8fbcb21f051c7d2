//! A fleet of pumps and the messages it sends, the same for the same seed.

use catalog::{Error, Result};
use chrono::{DateTime, SecondsFormat, TimeDelta, Timelike, Utc};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::fault::Fault;
use super::publisher::Message;
use super::pump::{Moment, Pump, Sample};

/// What decides every message of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct FleetPlan {
    /// Number of pumps.
    pub(crate) pumps: usize,
    /// Number of sites the pumps stand at.
    pub(crate) sites: usize,
    /// Same seed, same messages.
    pub(crate) seed: u64,
    /// Share of the pumps that develop faults, 0 to 1.
    pub(crate) fault_share: f64,
    /// Event time of the first readings.
    pub(crate) start: DateTime<Utc>,
    /// Event time between two readings of one pump.
    pub(crate) interval: TimeDelta,
}

/// The JSON of one reading; the pump and its site are in the topic.
#[derive(Debug, Serialize)]
struct Reading {
    ts: String,
    running: bool,
    pressure_bar: f64,
    flow_m3h: f64,
    vibration_mm_s: f64,
    temperature_c: f64,
    current_a: f64,
    fault: Fault,
}

/// An endless stream of messages: at every interval one of each pump, in order.
#[derive(Debug)]
pub(crate) struct Fleet {
    pumps: Vec<(String, Pump)>,
    start: DateTime<Utc>,
    interval: TimeDelta,
    readings: i32,
    next_pump: usize,
}

impl Fleet {
    /// Builds the pumps of `plan`.
    ///
    /// Errors: `InvalidInput` when there would be no pump, no site or no time between
    /// readings, or when the share is not one.
    pub(crate) fn new(plan: &FleetPlan) -> Result<Self> {
        check(plan)?;
        let first_faults = first_faults(plan);
        let pumps = (0..plan.pumps)
            .zip(first_faults)
            .map(|(n, first_fault)| {
                // Each pump has a stream of random numbers of its own: its life does not
                // depend on how many others there are.
                let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
                rng.set_stream(n as u64 + 1);
                let site = n % plan.sites + 1;
                let topic = format!("pumps/site-{site}/pump-{:02}/telemetry", n + 1);
                (topic, Pump::new(first_fault, rng))
            })
            .collect();
        Ok(Self {
            pumps,
            start: plan.start,
            interval: plan.interval,
            readings: 0,
            next_pump: 0,
        })
    }
}

impl Iterator for Fleet {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let offset = self.interval.checked_mul(self.readings)?;
        let time = self.start.checked_add_signed(offset)?;
        let now = Moment {
            elapsed: seconds(offset),
            step: seconds(self.interval),
            day: f64::from(time.num_seconds_from_midnight()) / 86_400.0,
        };
        let (topic, pump) = self.pumps.get_mut(self.next_pump)?;
        let message = Message {
            topic: topic.clone(),
            payload: encode(time, &pump.step(now)),
        };
        self.next_pump += 1;
        if self.next_pump == self.pumps.len() {
            (self.next_pump, self.readings) = (0, self.readings.checked_add(1)?);
        }
        Some(message)
    }
}

fn check(plan: &FleetPlan) -> Result<()> {
    let wrong = |message: &str, hint: &str| Err(Error::invalid(message).with_hint(hint));
    if plan.pumps == 0 {
        return wrong("a fleet needs a pump", "give --pumps 1 or more");
    }
    if plan.sites == 0 {
        return wrong("pumps must stand somewhere", "give --sites 1 or more");
    }
    if plan.interval <= TimeDelta::zero() {
        return wrong("readings need time between them", "give --interval 1s, say");
    }
    if !(0.0..=1.0).contains(&plan.fault_share) {
        return wrong(
            "a share lies between 0 and 1",
            "give --fault-share 0.3, say",
        );
    }
    Ok(())
}

/// The first fault of each pump; `None` for those that stay sound.
fn first_faults(plan: &FleetPlan) -> Vec<Option<usize>> {
    let prone = (plan.fault_share * plan.pumps as f64).round() as usize;
    let mut faults: Vec<_> = (0..plan.pumps).map(|n| (n < prone).then_some(n)).collect();
    faults.shuffle(&mut ChaCha8Rng::seed_from_u64(plan.seed));
    faults
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64()
}

fn encode(time: DateTime<Utc>, sample: &Sample) -> Vec<u8> {
    let reading = Reading {
        ts: time.to_rfc3339_opts(SecondsFormat::Millis, true),
        running: sample.running,
        pressure_bar: rounded(sample.pressure_bar, 1e3),
        flow_m3h: rounded(sample.flow_m3h, 1e2),
        vibration_mm_s: rounded(sample.vibration_mm_s, 1e3),
        temperature_c: rounded(sample.temperature_c, 1e2),
        current_a: rounded(sample.current_a, 1e2),
        fault: sample.fault,
    };
    serde_json::to_vec(&reading).expect("a reading is plain data with text keys")
}

/// `value` with as many decimals as the sensor has.
fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan() -> FleetPlan {
        FleetPlan {
            pumps: 6,
            sites: 2,
            seed: 7,
            fault_share: 0.5,
            start: DateTime::from_timestamp(1_780_000_000, 0).unwrap(),
            interval: TimeDelta::seconds(30),
        }
    }

    fn messages(plan: &FleetPlan, count: usize) -> Vec<Message> {
        Fleet::new(plan).unwrap().take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_messages_and_another_gives_others() {
        let first = messages(&plan(), 600);
        assert_eq!(first, messages(&plan(), 600));
        assert_ne!(first, messages(&FleetPlan { seed: 8, ..plan() }, 600));
    }

    #[test]
    fn messages_do_not_change_between_versions_or_machines() {
        let message = messages(&plan(), 1).remove(0);
        assert_eq!(message.topic, "pumps/site-1/pump-01/telemetry");
        let expected = concat!(
            r#"{"ts":"2026-05-28T20:26:40.000Z","running":true,"pressure_bar":4.445,"#,
            r#""flow_m3h":38.78,"vibration_mm_s":1.113,"temperature_c":42.44,"#,
            r#""current_a":10.75,"fault":"none"}"#
        );
        assert_eq!(String::from_utf8(message.payload).unwrap(), expected);
    }

    #[test]
    fn every_pump_sends_once_an_interval_under_its_own_topic() {
        let messages = messages(&plan(), 18);
        let times: Vec<String> = messages
            .iter()
            .map(|m| serde_json::from_slice::<serde_json::Value>(&m.payload).unwrap())
            .map(|reading| reading["ts"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            times[..6].iter().all(|ts| ts == "2026-05-28T20:26:40.000Z"),
            "{times:?}"
        );
        assert!(
            times[6..12]
                .iter()
                .all(|ts| ts == "2026-05-28T20:27:10.000Z"),
            "{times:?}"
        );
        assert_eq!(messages[5].topic, "pumps/site-2/pump-06/telemetry");
        assert_eq!(messages[5].topic, messages[17].topic);
    }

    #[test]
    fn a_day_shows_every_fault_on_the_given_share_of_pumps() {
        let mut labels: HashMap<String, Vec<String>> = HashMap::new();
        for message in messages(&plan(), 6 * 2 * 60 * 24) {
            let reading: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            let label = reading["fault"].as_str().unwrap().to_owned();
            if label != "none" {
                labels.entry(message.topic).or_default().push(label);
            }
        }
        assert_eq!(labels.len(), 3);
        for fault in ["cavitation", "bearing_wear", "leakage"] {
            assert!(
                labels.values().flatten().any(|label| label == fault),
                "{fault}"
            );
        }
    }

    #[test]
    fn a_fleet_that_cannot_be_is_refused() {
        for wrong in [
            FleetPlan { pumps: 0, ..plan() },
            FleetPlan { sites: 0, ..plan() },
            FleetPlan {
                interval: TimeDelta::zero(),
                ..plan()
            },
            FleetPlan {
                fault_share: 1.5,
                ..plan()
            },
            FleetPlan {
                fault_share: f64::NAN,
                ..plan()
            },
        ] {
            let error = Fleet::new(&wrong).unwrap_err();
            assert!(error.is_user_error() && error.hint().is_some(), "{error}");
        }
    }
}
