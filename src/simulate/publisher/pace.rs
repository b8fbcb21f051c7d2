//! Keeping to a rate of messages per second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Sleeping is not worth it for less.
const TICK: Duration = Duration::from_millis(2);

/// A schedule by which message `n` is due `n / rate` seconds after the start. Time lost to
/// a slow broker is caught up, so that the rate holds over the whole run.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    /// Messages per second; `None` does not wait.
    rate: Option<f64>,
    sent: u64,
}

impl Pace {
    /// A schedule that starts now; a rate of 0 is as fast as the broker takes.
    pub(crate) fn new(rate: f64) -> Self {
        Self {
            start: Instant::now(),
            rate: (rate > 0.0).then_some(rate),
            sent: 0,
        }
    }

    /// Waits until the next message is due.
    pub(crate) async fn next(&mut self) {
        if let Some(rate) = self.rate {
            let due = self.start + due_after(self.sent, rate);
            if due > Instant::now() + TICK {
                sleep_until(due).await;
            }
        }
        self.sent += 1;
    }
}

fn due_after(sent: u64, rate: f64) -> Duration {
    // A rate so low that it overflows is never reached in a lifetime.
    Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or(Duration::from_secs(1 << 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_the_rate() {
        assert_eq!(due_after(0, 100.0), Duration::ZERO);
        assert_eq!(due_after(250, 100.0), Duration::from_millis(2500));
        assert!(due_after(u64::MAX, 1e-300) > Duration::from_secs(1));
    }
}
