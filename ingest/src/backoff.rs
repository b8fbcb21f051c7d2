//! Waiting between attempts: longer each time, with jitter so that many do not return at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

/// Waits that double from 50 ms to 10 s, each between half and all of its length.
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self::up_to(LONGEST)
    }

    /// Waits that double from 50 ms to `longest`.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self {
            next: FIRST,
            longest,
        }
    }

    /// How long to wait now.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.longest);
        // A fresh random state hashes to a random number; it need not be a good one.
        let part = RandomState::new().hash_one(0) % 1024;
        delay / 2 + delay.mul_f64(part as f64 / 2048.0)
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let mut backoff = Backoff::new();
        for _ in 0..20 {
            let bound = backoff.next;
            let delay = backoff.next_delay();
            assert!(delay >= bound / 2 && delay <= bound);
        }
        assert_eq!(backoff.next, LONGEST);
    }
}
