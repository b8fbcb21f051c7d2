//! One pump through simulated time: what its sensors say, healthy and failing.
//!
//! - **Casing temperature** is a first-order lag, `τ dT/dt = T∞ - T`, towards the ambient
//!   temperature plus a rise in proportion to the motor's losses (the one-body model behind
//!   the duty types of IEC 60034-1), solved exactly over a step.
//! - **Vibration** (velocity RMS) rises with speed squared and with the distance from the
//!   best efficiency point; above 4.5 mm/s ISO 20816 speaks of zone C for such a machine.
//! - **Demand** swings slowly: an Ornstein-Uhlenbeck process on a daily wave.
//! - **Faults** act on the physics and not on the readings: cavitation costs head and
//!   efficiency in bursts; worn bearings add friction, heat and vibration; a leak lowers
//!   the resistance of the pipework, so that flow and current rise while pressure falls.

use std::f64::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::duty::Duty;
use super::fault::{Condition, Fault, History};
use super::machine::{Machine, Strain, WorkingPoint};

/// Casing above ambient at the rated point once warm, in kelvin.
const RATED_RISE: f64 = 28.0;
/// Time constants of the casing, with the motor's fan turning and standing, in seconds.
const WARMING: f64 = 1500.0;
const COOLING: f64 = 2400.0;
/// Time constant of the demand's wandering, in seconds, and its spread.
const WANDERING: f64 = 1800.0;
const SPREAD: f64 = 0.03;
/// How long a repair takes, in seconds.
const REPAIR: f64 = 1200.0;

/// What the sensors of a pump say at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) running: bool,
    pub(super) pressure_bar: f64,
    pub(super) flow_m3h: f64,
    pub(super) vibration_mm_s: f64,
    pub(super) temperature_c: f64,
    pub(super) current_a: f64,
    pub(super) fault: Fault,
}

/// A moment of simulated time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Seconds since the simulation's start.
    pub(super) elapsed: f64,
    /// Seconds since the last moment.
    pub(super) step: f64,
    /// Time of day in UTC, from 0 to 1.
    pub(super) day: f64,
}

/// One pump and all it remembers.
#[derive(Debug)]
pub(super) struct Pump {
    machine: Machine,
    duty: Duty,
    faults: History,
    /// Mean ambient temperature where it stands, °C.
    ambient: f64,
    /// How far the demand has wandered from the daily wave.
    wandering: f64,
    temperature: f64,
    rng: ChaCha8Rng,
}

impl Pump {
    /// A pump drawn from `rng`. `first_fault` is the first it will suffer, counted in
    /// the cycle of faults; `None` keeps it sound.
    pub(super) fn new(first_fault: Option<usize>, mut rng: ChaCha8Rng) -> Self {
        let ambient = rng.random_range(16.0..20.0);
        Self {
            machine: Machine::draw(&mut rng),
            duty: Duty::draw(&mut rng),
            faults: first_fault
                .map_or_else(History::sound, |first| History::prone(first, &mut rng)),
            ambient,
            wandering: 0.0,
            temperature: ambient + 0.8 * RATED_RISE,
            rng,
        }
    }

    /// The readings at the next moment.
    pub(super) fn step(&mut self, now: Moment) -> Sample {
        let (condition, repaired) = self.faults.at(now.elapsed, &mut self.rng);
        if repaired {
            self.duty.rest(REPAIR);
        }
        let speed = self.duty.step(now.step, &mut self.rng);
        let strain = self.strain(condition, speed, now);
        let point = self.machine.work(strain);
        self.warm(condition, &point, speed, now);
        self.sense(condition, &point, speed)
    }

    fn strain(&mut self, condition: Condition, speed: f64, now: Moment) -> Strain {
        let keep = (-now.step / WANDERING).exp();
        let stir = SPREAD * (1.0 - keep * keep).sqrt();
        self.wandering = keep * self.wandering + stir * self.normal();
        let daily = 0.04 * (TAU * (now.day - 0.15)).sin();
        let bubbles = condition.of(Fault::Cavitation) * (0.10 + 0.05 * self.normal().abs());
        Strain {
            speed,
            resistance: (1.0 + daily + self.wandering)
                * (1.0 - 0.65 * condition.of(Fault::Leakage)),
            head_loss: bubbles,
            efficiency_loss: 0.15 * condition.of(Fault::Cavitation),
            friction: Strain::RATED.friction + 0.12 * condition.of(Fault::BearingWear),
        }
    }

    fn warm(&mut self, condition: Condition, point: &WorkingPoint, speed: f64, now: Moment) {
        // Warmest at three in the afternoon, coldest at three in the morning.
        let ambient = self.ambient + 5.0 * (TAU * (now.day - 0.375)).sin();
        let bearings = 20.0 * condition.of(Fault::BearingWear) * speed;
        let settled = ambient + RATED_RISE * point.losses + bearings;
        let lag = if speed > 0.0 { WARMING } else { COOLING };
        self.temperature = settled + (self.temperature - settled) * (-now.step / lag).exp();
    }

    fn sense(&mut self, condition: Condition, point: &WorkingPoint, speed: f64) -> Sample {
        // Bubbles collapse at random, and every sensor hears them.
        let unrest = 1.0 + 4.0 * condition.of(Fault::Cavitation);
        let running = speed > 0.0;
        Sample {
            running,
            pressure_bar: (point.pressure + 0.02 * unrest * self.normal()).max(0.0),
            flow_m3h: (point.flow * (1.0 + 0.005 * unrest * self.normal())).max(0.0),
            vibration_mm_s: self.vibration(condition, point, speed),
            temperature_c: self.temperature + 0.15 * self.normal(),
            current_a: (point.current * (1.0 + 0.005 * self.normal())).max(0.0),
            fault: condition.label(),
        }
    }

    fn vibration(&mut self, condition: Condition, point: &WorkingPoint, speed: f64) -> f64 {
        let load = 1.0 + 1.5 * point.off_best * point.off_best;
        let bubbles = condition.of(Fault::Cavitation) * (2.2 + 0.8 * self.normal());
        let bearings = 3.8 * condition.of(Fault::BearingWear).powf(1.3);
        let machine = speed * speed * (self.machine.vibration * load + bubbles + bearings);
        // The floor is what the running neighbours send through the ground.
        (machine * (1.0 + 0.03 * self.normal())).max(0.0) + 0.05 * (1.0 + 0.2 * self.normal())
    }

    fn normal(&mut self) -> f64 {
        self.rng.sample(StandardNormal)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Mean readings of many warm, running pumps with one fault at one severity.
    fn mean(fault: Fault, severity: f64) -> Sample {
        let mut total = [0.0; 5];
        let pumps = 40;
        let moments = 50;
        for seed in 0..pumps {
            let mut pump = Pump::new(None, ChaCha8Rng::seed_from_u64(seed));
            let condition = Condition { fault, severity };
            for moment in 0..moments {
                let elapsed = 600.0 * f64::from(moment);
                let now = Moment {
                    elapsed,
                    step: 600.0,
                    day: 0.5,
                };
                let strain = pump.strain(condition, 1.0, now);
                let point = pump.machine.work(strain);
                pump.warm(condition, &point, 1.0, now);
                let s = pump.sense(condition, &point, 1.0);
                let values = [
                    s.pressure_bar,
                    s.flow_m3h,
                    s.vibration_mm_s,
                    s.temperature_c,
                    s.current_a,
                ];
                total
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
        let readings = f64::from(moments) * pumps as f64;
        let [
            pressure_bar,
            flow_m3h,
            vibration_mm_s,
            temperature_c,
            current_a,
        ] = total.map(|sum| sum / readings);
        let running = true;
        Sample {
            running,
            pressure_bar,
            flow_m3h,
            vibration_mm_s,
            temperature_c,
            current_a,
            fault,
        }
    }

    #[test]
    fn a_sound_pump_reads_like_one() {
        let s = mean(Fault::None, 0.0);
        assert!((3.5..5.5).contains(&s.pressure_bar), "{s:?}");
        assert!((35.0..46.0).contains(&s.flow_m3h), "{s:?}");
        assert!((0.9..1.8).contains(&s.vibration_mm_s), "{s:?}");
        assert!((40.0..60.0).contains(&s.temperature_c), "{s:?}");
        assert!((8.0..15.0).contains(&s.current_a), "{s:?}");
    }

    #[test]
    fn worn_bearings_shake_heat_and_draw_current_as_they_wear() {
        let [sound, worn, gone] = [0.0, 0.5, 1.0].map(|s| mean(Fault::BearingWear, s));
        for (before, after) in [(sound, worn), (worn, gone)] {
            assert!(
                after.vibration_mm_s > before.vibration_mm_s + 0.5,
                "{before:?} {after:?}"
            );
            assert!(
                after.temperature_c > before.temperature_c + 5.0,
                "{before:?} {after:?}"
            );
            assert!(
                after.current_a > before.current_a * 1.02,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn a_leak_costs_pressure_and_shows_as_flow_and_current() {
        let [sound, leaking, burst] = [0.0, 0.5, 1.0].map(|s| mean(Fault::Leakage, s));
        for (before, after) in [(sound, leaking), (leaking, burst)] {
            assert!(
                after.pressure_bar < before.pressure_bar - 0.2,
                "{before:?} {after:?}"
            );
            assert!(
                after.flow_m3h > before.flow_m3h + 2.0,
                "{before:?} {after:?}"
            );
            assert!(after.current_a > before.current_a, "{before:?} {after:?}");
        }
    }

    #[test]
    fn cavitation_costs_flow_and_pressure_and_shakes() {
        let [sound, cavitating] = [0.0, 1.0].map(|s| mean(Fault::Cavitation, s));
        assert!(cavitating.pressure_bar < sound.pressure_bar - 0.1);
        assert!(cavitating.flow_m3h < sound.flow_m3h - 1.0);
        assert!(cavitating.vibration_mm_s > sound.vibration_mm_s + 1.5);
    }

    #[test]
    fn a_standing_pump_moves_nothing_and_cools() {
        let mut pump = Pump::new(None, ChaCha8Rng::seed_from_u64(1));
        pump.duty.rest(1e9);
        let mut last = f64::INFINITY;
        for minute in 1..=300 {
            let elapsed = 60.0 * f64::from(minute);
            let sample = pump.step(Moment {
                elapsed,
                step: 60.0,
                day: 0.5,
            });
            assert!(!sample.running);
            assert_eq!((sample.flow_m3h, sample.current_a), (0.0, 0.0));
            assert!(sample.vibration_mm_s < 0.2, "{sample:?}");
            if minute % 60 == 0 {
                assert!(sample.temperature_c < last, "{sample:?}");
                last = sample.temperature_c;
            }
        }
    }
}
