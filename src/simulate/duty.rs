//! When a pump runs: hours on, minutes off, and a ramp between.

use rand::Rng;

/// Seconds of the soft starter from standstill to full speed.
const RAMP: f64 = 20.0;

/// The on/off cycle of one pump.
#[derive(Debug)]
pub(super) struct Duty {
    on: bool,
    /// Seconds until it switches.
    remaining: f64,
    /// Speed over rated speed.
    speed: f64,
}

impl Duty {
    /// A cycle at some point of it, more often on than off.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let on = rng.random_bool(0.85);
        let remaining = period(on, rng) * rng.random_range(0.0..1.0);
        Self {
            on,
            remaining,
            speed: f64::from(u8::from(on)),
        }
    }

    /// The speed ratio after `seconds`.
    pub(super) fn step(&mut self, seconds: f64, rng: &mut impl Rng) -> f64 {
        self.remaining -= seconds;
        while self.remaining <= 0.0 {
            self.on = !self.on;
            self.remaining += period(self.on, rng);
        }
        let change = seconds / RAMP;
        self.speed = if self.on {
            (self.speed + change).min(1.0)
        } else {
            (self.speed - change).max(0.0)
        };
        self.speed
    }

    /// Switches off for `seconds`, as a repair does.
    pub(super) fn rest(&mut self, seconds: f64) {
        (self.on, self.remaining) = (false, seconds);
    }
}

/// Seconds from one switch to the next.
fn period(on: bool, rng: &mut impl Rng) -> f64 {
    if on {
        3600.0 * rng.random_range(1.5..5.0)
    } else {
        60.0 * rng.random_range(10.0..40.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_pump_ramps_and_runs_most_of_the_day() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut duty = Duty::draw(&mut rng);
        let mut last = duty.speed;
        let mut running = 0;
        for _ in 0..86_400 {
            let speed = duty.step(1.0, &mut rng);
            assert!((speed - last).abs() <= 1.0 / RAMP + 1e-9);
            running += i32::from(speed > 0.0);
            last = speed;
        }
        assert!((60_000..86_000).contains(&running), "{running} s of a day");
    }

    #[test]
    fn a_repair_stops_the_pump() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut duty = Duty {
            on: true,
            remaining: 9e9,
            speed: 1.0,
        };
        duty.rest(600.0);
        assert_eq!(duty.step(30.0, &mut rng), 0.0);
        assert_eq!(duty.step(569.0, &mut rng), 0.0);
        assert!(duty.step(30.0, &mut rng) > 0.0);
    }
}
