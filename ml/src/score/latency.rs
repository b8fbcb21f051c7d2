//! How often and how fast each model answers: counters since the start, and percentiles of
//! the last minute or two.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Percentiles are of the minute that runs and the one before.
const PERIOD: Duration = Duration::from_secs(60);
/// Upper bounds of the buckets grow by a tenth, from this.
const SMALLEST: Duration = Duration::from_micros(50);
const GROWTH: f64 = 1.1;
/// Up to about two and a half minutes.
const BUCKETS: usize = 157;

/// What one model has answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The model's key; empty for requests that named none that is there.
    pub model: String,
    /// Requests since the start, failed ones included.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Rows predicted since the start.
    pub rows: u64,
    /// The time all requests took together.
    pub total: Duration,
    /// Half of the last requests took no longer; `None` where there were none of late.
    pub p50: Option<Duration>,
    /// The same of 95 in 100.
    pub p95: Option<Duration>,
    /// The same of 99 in 100.
    pub p99: Option<Duration>,
}

/// The counters of all models.
#[derive(Default)]
pub(super) struct Latencies {
    models: Mutex<BTreeMap<String, Counters>>,
}

struct Counters {
    requests: u64,
    errors: u64,
    rows: u64,
    total: Duration,
    now: [u32; BUCKETS],
    before: [u32; BUCKETS],
    since: Instant,
}

impl Latencies {
    /// Notes an answered request of so many rows.
    pub(super) fn answered(&self, model: &str, rows: usize, took: Duration) {
        self.note(model, rows, took, 0);
    }

    /// Notes a request that failed.
    pub(super) fn failed(&self, model: &str, took: Duration) {
        self.note(model, 0, took, 1);
    }

    fn note(&self, model: &str, rows: usize, took: Duration, errors: u64) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if !models.contains_key(model) {
            models.insert(model.to_owned(), Counters::new());
        }
        let Some(counters) = models.get_mut(model) else {
            return;
        };
        counters.turn();
        counters.requests += 1;
        counters.errors += errors;
        counters.rows += rows as u64;
        counters.total += took;
        counters.now[bucket(took)] += 1;
    }

    pub(super) fn all(&self) -> Vec<Served> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let models = models.iter_mut();
        models
            .map(|(model, counters)| {
                counters.turn();
                counters.served(model)
            })
            .collect()
    }
}

impl Counters {
    fn new() -> Self {
        Counters {
            requests: 0,
            errors: 0,
            rows: 0,
            total: Duration::ZERO,
            now: [0; BUCKETS],
            before: [0; BUCKETS],
            since: Instant::now(),
        }
    }

    /// Begins a new period where the last is over.
    fn turn(&mut self) {
        let periods = self.since.elapsed().as_secs() / PERIOD.as_secs();
        if periods == 0 {
            return;
        }
        let last = std::mem::replace(&mut self.now, [0; BUCKETS]);
        self.before = if periods == 1 { last } else { [0; BUCKETS] };
        self.since = Instant::now();
    }

    fn served(&self, model: &str) -> Served {
        let mut counts = self.before;
        for (count, more) in counts.iter_mut().zip(self.now) {
            *count += more;
        }
        Served {
            model: model.to_owned(),
            requests: self.requests,
            errors: self.errors,
            rows: self.rows,
            total: self.total,
            p50: quantile(&counts, 0.5),
            p95: quantile(&counts, 0.95),
            p99: quantile(&counts, 0.99),
        }
    }
}

fn bucket(took: Duration) -> usize {
    let ratio = took.as_secs_f64() / SMALLEST.as_secs_f64();
    let bucket = (ratio.max(1.0).ln() / GROWTH.ln()).ceil() as usize;
    bucket.min(BUCKETS - 1)
}

/// The upper bound of the bucket that holds the quantile.
fn quantile(counts: &[u32; BUCKETS], share: f64) -> Option<Duration> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let rank = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += u64::from(*count);
        total > 0 && seen >= rank
    });
    found.map(|bucket| SMALLEST.mul_f64(GROWTH.powi(bucket as i32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_tenth() {
        let latencies = Latencies::default();
        for millis in 1..=1000 {
            latencies.answered("ml.a", 2, Duration::from_millis(millis));
        }
        latencies.failed("ml.b", Duration::from_secs(1000));
        let all = latencies.all();
        let [a, b] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert_eq!((a.requests, a.rows, a.errors), (1000, 2000, 0));
        for (found, wanted) in [(a.p50, 0.5), (a.p95, 0.95), (a.p99, 0.99)] {
            let found = found.unwrap().as_secs_f64();
            assert!((wanted..wanted * 1.11).contains(&found), "{found} {wanted}");
        }
        assert_eq!((b.requests, b.rows, b.errors), (1, 0, 1));
        assert!(b.p50.unwrap() > Duration::from_secs(100));
    }

    #[test]
    fn nothing_has_no_percentiles() {
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
        assert_eq!(bucket(Duration::ZERO), 0);
    }
}
