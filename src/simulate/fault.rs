//! Faults of a pump: which, when, and how far gone.
//!
//! A fault begins unnoticed, grows to its full severity and is repaired a while later.
//! The hours are those of a hard life, so that a day of simulated time shows every fault;
//! real bearings take weeks.

use rand::Rng;
use serde::Serialize;

/// Severity from which an inspection would find the fault, and readings carry its label.
const LABELLED_FROM: f64 = 0.3;

/// What is wrong with a pump, as its readings are labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Nothing that an inspection would find.
    None,
    /// Vapour bubbles at the impeller: the suction pressure is too low.
    Cavitation,
    /// Pitted rolling bearings: friction, heat and vibration.
    BearingWear,
    /// Water leaves the line behind the flow meter.
    Leakage,
}

impl Fault {
    /// The faults a pump suffers in turn.
    const CYCLE: [Self; 3] = [Self::Cavitation, Self::BearingWear, Self::Leakage];

    /// Hours from the first sign to full severity, at least and at most.
    fn hours(self) -> (f64, f64) {
        match self {
            Self::Cavitation => (0.7, 2.0),
            Self::BearingWear => (2.0, 5.0),
            Self::Leakage | Self::None => (1.0, 3.0),
        }
    }
}

/// One fault from its first sign to its repair; times in seconds of simulated time.
#[derive(Clone, Copy, Debug)]
struct Episode {
    fault: Fault,
    begins: f64,
    full: f64,
    repaired: f64,
}

/// A fault at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Condition {
    /// What wears, from its first sign on.
    pub(super) fault: Fault,
    /// 0 as new to 1 fully developed.
    pub(super) severity: f64,
}

impl Condition {
    /// A pump as new.
    pub(super) const SOUND: Self = Self {
        fault: Fault::None,
        severity: 0.0,
    };

    /// Severity of `fault`; 0 when it is another one.
    pub(super) fn of(self, fault: Fault) -> f64 {
        if self.fault == fault {
            self.severity
        } else {
            0.0
        }
    }

    /// What an inspection would say.
    pub(super) fn label(self) -> Fault {
        if self.severity >= LABELLED_FROM {
            self.fault
        } else {
            Fault::None
        }
    }
}

/// The faults of one pump over its life.
#[derive(Debug)]
pub(super) struct History {
    episode: Option<Episode>,
    next: usize,
}

impl History {
    /// A pump that stays sound.
    pub(super) fn sound() -> Self {
        Self {
            episode: None,
            next: 0,
        }
    }

    /// A pump whose first fault is the `first` of the cycle, some hours after time 0.
    pub(super) fn prone(first: usize, rng: &mut impl Rng) -> Self {
        let mut history = Self {
            episode: None,
            next: first,
        };
        history.plan(0.0, rng);
        history
    }

    /// The condition at `time`; times must not go back. True: it was repaired just now.
    pub(super) fn at(&mut self, time: f64, rng: &mut impl Rng) -> (Condition, bool) {
        let mut repaired = false;
        while self.episode.is_some_and(|episode| time >= episode.repaired) {
            self.plan(time, rng);
            repaired = true;
        }
        let condition = match self.episode {
            Some(episode) if time > episode.begins => Condition {
                fault: episode.fault,
                severity: ((time - episode.begins) / (episode.full - episode.begins)).min(1.0),
            },
            _ => Condition::SOUND,
        };
        (condition, repaired)
    }

    fn plan(&mut self, after: f64, rng: &mut impl Rng) {
        let fault = Fault::CYCLE[self.next % Fault::CYCLE.len()];
        self.next += 1;
        let (least, most) = fault.hours();
        let begins = after + 3600.0 * rng.random_range(0.5..3.5);
        let growth = 3600.0 * rng.random_range(least..most);
        let full = begins + growth;
        let repaired = full + growth * rng.random_range(0.2..0.5);
        self.episode = Some(Episode {
            fault,
            begins,
            full,
            repaired,
        });
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_fault_grows_until_it_is_repaired_and_the_next_kind_follows() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut history = History::prone(0, &mut rng);
        let (mut seen, mut last) = (Vec::new(), Condition::SOUND);
        for minute in 0..48 * 60 {
            let (now, repaired) = history.at(f64::from(minute) * 60.0, &mut rng);
            if !repaired && now.fault == last.fault {
                assert!(now.severity >= last.severity, "minute {minute}");
            }
            if now.fault != last.fault && now.fault != Fault::None {
                seen.push(now.fault);
            }
            last = now;
        }
        let expected: Vec<_> = Fault::CYCLE
            .iter()
            .cycle()
            .take(seen.len())
            .copied()
            .collect();
        assert_eq!(seen, expected);
        assert!(seen.len() >= 4, "{seen:?}");
    }

    #[test]
    fn a_fault_is_labelled_once_an_inspection_would_find_it() {
        let early = Condition {
            fault: Fault::Leakage,
            severity: 0.1,
        };
        let late = Condition {
            severity: 0.4,
            ..early
        };
        assert_eq!((early.label(), late.label()), (Fault::None, Fault::Leakage));
        assert_eq!(
            (late.of(Fault::Leakage), late.of(Fault::Cavitation)),
            (0.4, 0.0)
        );
    }

    #[test]
    fn a_sound_pump_stays_sound() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(
            History::sound().at(1e9, &mut rng),
            (Condition::SOUND, false)
        );
    }
}
