//! Which version of MQTT to begin with: 5, and 3.1.1 where there is reason to believe that the broker
//! knows no more. A session of 5 and one of 3.1.1 differ in what they keep, so a broker that merely
//! restarts must not change the version.

use super::wire::Version;

/// Hang-ups instead of an answer, one after the other, by which a broker is taken for an old one.
const HANG_UPS: u32 = 3;

/// Why a broker that was asked in one version may know another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// There is no reason.
    None,
    /// It hung up: some old ones do so on what they do not know, all do so when they stop.
    HungUp,
    /// It said that it does not speak this version.
    Refused,
}

/// The version to speak, by what has come of it so far.
#[derive(Debug)]
pub(super) struct Versions {
    /// The only one to speak; none: 5 first.
    only: Option<Version>,
    now: Version,
    five_works: bool,
    hang_ups: u32,
}

impl Versions {
    pub(super) fn new(only: Option<Version>) -> Self {
        Self {
            only,
            now: only.unwrap_or(Version::Five),
            five_works: false,
            hang_ups: 0,
        }
    }

    /// The version to connect with.
    pub(super) fn now(&self) -> Version {
        self.now
    }

    /// The broker has let us in: after this connection it is asked anew, it may be another by then.
    pub(super) fn welcome(&mut self) {
        self.five_works |= self.now == Version::Five;
        *self = Self {
            five_works: self.five_works,
            ..Self::new(self.only)
        };
    }

    /// The broker has not; true when the next attempt is made in another version.
    pub(super) fn unwelcome(&mut self, doubt: Doubt) -> bool {
        self.hang_ups = match doubt {
            Doubt::HungUp => self.hang_ups + 1,
            Doubt::None | Doubt::Refused => 0,
        };
        let other = match doubt {
            Doubt::None => false,
            Doubt::HungUp => self.hang_ups >= HANG_UPS && !self.five_works,
            Doubt::Refused => true,
        };
        if !other || self.only.is_some() {
            return false;
        }
        self.hang_ups = 0;
        self.now = match self.now {
            Version::Three => Version::Five,
            Version::Five => Version::Three,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_believed_at_once_and_a_hang_up_the_third_time() {
        let mut versions = Versions::new(None);
        assert!(versions.unwelcome(Doubt::Refused));
        assert_eq!(versions.now(), Version::Three);
        assert!(versions.unwelcome(Doubt::Refused));
        assert_eq!(versions.now(), Version::Five);
        for doubt in [Doubt::HungUp, Doubt::HungUp, Doubt::None, Doubt::HungUp] {
            assert!(!versions.unwelcome(doubt), "not in a row");
        }
        assert!(!versions.unwelcome(Doubt::HungUp));
        assert!(versions.unwelcome(Doubt::HungUp));
        assert_eq!(versions.now(), Version::Three);
    }

    #[test]
    fn a_broker_that_spoke_5_is_not_taken_for_an_old_one() {
        let mut versions = Versions::new(None);
        versions.welcome();
        for _ in 0..100 {
            assert!(!versions.unwelcome(Doubt::HungUp));
        }
        assert!(versions.unwelcome(Doubt::Refused), "unless it says so");
    }

    #[test]
    fn every_lost_connection_begins_with_5_again() {
        let mut versions = Versions::new(None);
        versions.unwelcome(Doubt::Refused);
        versions.welcome();
        assert_eq!(versions.now(), Version::Five);
        assert!(!versions.five_works);
    }

    #[test]
    fn a_version_that_is_set_stays() {
        let mut versions = Versions::new(Some(Version::Three));
        for _ in 0..10 {
            assert!(!versions.unwelcome(Doubt::HungUp) && !versions.unwelcome(Doubt::Refused));
        }
        versions.welcome();
        assert_eq!(versions.now(), Version::Three);
    }
}
