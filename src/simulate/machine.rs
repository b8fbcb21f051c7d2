//! What a centrifugal pump does at one moment: head, flow, power, current.
//!
//! - **Working point.** At the speed ratio `n` the pump lifts `H = n² H0 - a Q²`: its
//!   characteristic under the affinity laws Q ~ n and H ~ n². The pipework asks for
//!   `H = Hs + k Q²`. The flow is where both agree. (Gülich, *Centrifugal Pumps*,
//!   chapters 3.4 and 11.)
//! - **Power.** The shaft gives `ρ g Q H / η`, where the efficiency `η` falls off as a
//!   parabola on both sides of the best efficiency point, plus bearing friction.
//! - **Current.** Active current for that power and magnetising current add in quadrature.

use rand::Rng;

/// Weight of one cubic metre of water, in N.
const WATER: f64 = 998.0 * 9.81;
/// Gauge pressure at the suction side, in bar.
const SUCTION_BAR: f64 = 0.3;
const MOTOR_EFFICIENCY: f64 = 0.9;
const LINE_VOLTAGE: f64 = 400.0;
/// Head at no flow, and height to lift to, as shares of the rated head.
const SHUT_OFF: f64 = 1.25;
const STATIC: f64 = 0.45;

/// What a pump was built for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Flow at the best efficiency point, m³/h.
    pub(super) flow: f64,
    /// Head at that flow, m.
    pub(super) head: f64,
    /// Hydraulic over shaft power at that flow.
    pub(super) efficiency: f64,
    /// Vibration velocity at that flow, mm/s RMS.
    pub(super) vibration: f64,
}

/// What acts on the pump at one moment; [`Strain::RATED`] is the day it was designed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strain {
    /// Speed over rated speed.
    pub(super) speed: f64,
    /// Flow resistance of the pipework over the one it was designed for.
    pub(super) resistance: f64,
    /// Share of the head that is lost in the impeller.
    pub(super) head_loss: f64,
    /// Share of the efficiency that is lost.
    pub(super) efficiency_loss: f64,
    /// Bearing friction, as a share of the rated shaft power.
    pub(super) friction: f64,
}

impl Strain {
    pub(super) const RATED: Self = Self {
        speed: 1.0,
        resistance: 1.0,
        head_loss: 0.0,
        efficiency_loss: 0.0,
        friction: 0.02,
    };
}

/// Where the pump works.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkingPoint {
    /// m³/h
    pub(super) flow: f64,
    /// Gauge pressure behind the pump, bar.
    pub(super) pressure: f64,
    /// Motor current, A.
    pub(super) current: f64,
    /// Motor losses over those at the rated point.
    pub(super) losses: f64,
    /// Flow over the best flow at this speed, less one.
    pub(super) off_best: f64,
}

impl Machine {
    /// A pump of the 40 m³/h, 42 m class; pumps of one make differ by a few per cent.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        Self {
            flow: 40.0 * rng.random_range(0.95..1.05),
            head: 42.0 * rng.random_range(0.96..1.04),
            efficiency: rng.random_range(0.72..0.76),
            vibration: 1.2 * rng.random_range(0.85..1.15),
        }
    }

    /// The flow, pressure and current under `strain`.
    pub(super) fn work(&self, strain: Strain) -> WorkingPoint {
        let Strain {
            speed, resistance, ..
        } = strain;
        let lift = speed * speed * SHUT_OFF * (1.0 - strain.head_loss);
        // Below some speed the pump cannot reach the static head: the check valve is shut.
        let excess = (lift - STATIC).max(0.0);
        let pump = SHUT_OFF - 1.0;
        let pipework = (1.0 - STATIC) * resistance;
        let flow = self.flow * (excess / (pump + pipework)).sqrt();
        let head = self.head * (STATIC + pipework * (flow / self.flow).powi(2));
        let off_best = if speed > 0.0 {
            flow / (self.flow * speed) - 1.0
        } else {
            0.0
        };
        let (current, losses) = self.motor(strain, flow, head, off_best);
        WorkingPoint {
            flow,
            pressure: SUCTION_BAR + WATER * head / 1e5,
            current,
            losses,
            off_best,
        }
    }

    /// Current in A, and losses over those at the rated point.
    fn motor(&self, strain: Strain, flow: f64, head: f64, off_best: f64) -> (f64, f64) {
        if strain.speed == 0.0 {
            return (0.0, 0.0);
        }
        let rated = hydraulic_power(self.flow, self.head) / self.efficiency;
        let efficiency = self.efficiency
            * (1.0 - strain.efficiency_loss)
            * (1.0 - 0.6 * off_best * off_best).max(0.4);
        // A pump that turns against a shut valve still churns the water in its casing.
        let churning = 0.35 * rated * strain.speed.powi(3);
        let pumping = hydraulic_power(flow, head) / efficiency;
        let shaft = pumping.max(churning) + strain.friction * rated * strain.speed;
        let amperes = |power: f64| power / MOTOR_EFFICIENCY / (3f64.sqrt() * LINE_VOLTAGE);
        let magnetising = 0.45 * amperes(rated);
        let current = amperes(shaft).hypot(magnetising);
        let rated_current = amperes(rated * (1.0 + Strain::RATED.friction)).hypot(magnetising);
        (current, (current / rated_current).powi(2))
    }
}

/// Watts put into water by a flow (m³/h) against a head (m).
fn hydraulic_power(flow: f64, head: f64) -> f64 {
    WATER * flow / 3600.0 * head
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine {
        flow: 40.0,
        head: 42.0,
        efficiency: 0.74,
        vibration: 1.2,
    };

    #[test]
    fn the_rated_point_is_where_it_was_designed() {
        let point = MACHINE.work(Strain::RATED);
        assert!((point.flow - 40.0).abs() < 1e-9, "{point:?}");
        assert!((point.pressure - 4.41).abs() < 0.01, "{point:?}");
        assert!((point.losses - 1.0).abs() < 1e-9, "{point:?}");
        assert!((9.0..13.0).contains(&point.current), "{point:?}");
    }

    #[test]
    fn a_standing_pump_moves_no_water_and_holds_the_static_head() {
        let point = MACHINE.work(Strain {
            speed: 0.0,
            ..Strain::RATED
        });
        assert_eq!((point.flow, point.current, point.losses), (0.0, 0.0, 0.0));
        assert!((1.5..3.0).contains(&point.pressure), "{point:?}");
    }

    #[test]
    fn flow_power_and_current_rise_with_speed() {
        let points: Vec<_> = (14..=22)
            .map(|n| {
                MACHINE.work(Strain {
                    speed: f64::from(n) / 20.0,
                    ..Strain::RATED
                })
            })
            .collect();
        for pair in points.windows(2) {
            assert!(pair[1].flow > pair[0].flow, "{pair:?}");
            assert!(pair[1].pressure > pair[0].pressure, "{pair:?}");
            assert!(pair[1].current > pair[0].current, "{pair:?}");
        }
    }

    #[test]
    fn less_resistance_means_more_flow_at_less_pressure_for_more_current() {
        let tight = MACHINE.work(Strain::RATED);
        let leaking = MACHINE.work(Strain {
            resistance: 0.6,
            ..Strain::RATED
        });
        assert!(leaking.flow > tight.flow);
        assert!(leaking.pressure < tight.pressure);
        assert!(leaking.current > tight.current);
    }
}
