//! How much clients may ask of the broker: connections, and messages and bytes a second.
//!
//! Who asks for more is read slower. Nothing it has sent is dropped for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::BrokerConfig;

/// Connections that have not said who they are; one more, and the oldest of them has to go. So a
/// crowd that never gets to its CONNECT keeps nobody out who does.
const MOST_ARRIVING: usize = 1_024;
/// The largest CONNECT; a client that has not logged in yet is given no more memory than this.
pub(super) const MOST_CONNECT_BYTES: u32 = 256 << 10;
/// The longest topic, in bytes, and the most levels it may have.
const MOST_TOPIC_BYTES: usize = 4_096;
const MOST_TOPIC_LEVELS: usize = 128;

/// Whether a topic is short and shallow enough to be published to, or a filter to be subscribed to.
pub(super) fn takes_topic(topic: &str) -> bool {
    topic.len() <= MOST_TOPIC_BYTES && topic.split('/').count() <= MOST_TOPIC_LEVELS
}

/// The limits that all connections share.
pub(super) struct Limits {
    connections: Arc<Semaphore>,
    arriving: Arc<Mutex<Arriving>>,
    connects: Mutex<Option<Bucket>>,
    messages: u32,
    bytes: u64,
}

/// Connections before their CONNECT, oldest first.
#[derive(Default)]
struct Arriving {
    last: u64,
    waiting: VecDeque<(u64, CancellationToken)>,
}

/// A connection's place among all, given back with it.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    number: u64,
    evicted: CancellationToken,
    admitted: Arc<AtomicBool>,
    arriving: Arc<Mutex<Arriving>>,
}

/// The limits of one connection.
#[derive(Debug)]
pub(super) struct Throttle {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// What may be taken: as much as flows in, and never more than a second's worth at once.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Limits {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let connects = Bucket::new(f64::from(config.max_connects_per_second));
        Self {
            connections: Arc::new(Semaphore::new(
                config.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            arriving: Arc::default(),
            connects: Mutex::new(connects),
            messages: config.max_messages_per_second,
            bytes: config.max_bytes_per_second,
        }
    }

    /// Counts an attempt to connect, and says how long to wait before the next is looked at.
    pub(super) fn pause(&self) -> Duration {
        let mut connects = locked(&self.connects);
        let pause = connects.as_mut().map(|it| it.take(Instant::now(), 1.0));
        pause.unwrap_or_default()
    }

    /// A place for a connection that has just been accepted; none when all are taken.
    pub(super) fn arrive(&self) -> Option<Place> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let evicted = CancellationToken::new();
        let mut arriving = locked(&self.arriving);
        if arriving.waiting.len() >= MOST_ARRIVING
            && let Some((_, oldest)) = arriving.waiting.pop_front()
        {
            tracing::info!("many MQTT connections say nothing: the oldest is closed");
            oldest.cancel();
        }
        arriving.last += 1;
        let number = arriving.last;
        arriving.waiting.push_back((number, evicted.clone()));
        Some(Place {
            _permit: permit,
            number,
            evicted,
            admitted: Arc::default(),
            arriving: Arc::clone(&self.arriving),
        })
    }

    /// The limits of a new connection.
    pub(super) fn throttle(&self) -> Throttle {
        Throttle {
            messages: Bucket::new(f64::from(self.messages)),
            bytes: Bucket::new(self.bytes as f64),
        }
    }

    /// `most`, or less where so many messages would take more than a second. A client that keeps
    /// to it has its pings answered within about a second, however slow it is read.
    pub(super) fn receive_maximum(&self, most: u16) -> u16 {
        match self.messages {
            0 => most,
            rate => most.min(u16::try_from(rate).unwrap_or(u16::MAX)),
        }
    }
}

impl Place {
    /// The client has said who it is.
    pub(super) fn settle(&self) {
        self.admitted.store(true, Ordering::Relaxed);
        let mut arriving = locked(&self.arriving);
        if let Ok(at) = arriving
            .waiting
            .binary_search_by_key(&self.number, |(number, _)| *number)
        {
            arriving.waiting.remove(at);
        }
    }

    /// Tells whether the client has said who it is.
    pub(super) fn admitted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.admitted)
    }

    /// Resolves when the place is needed for others.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Throttle {
    /// Notes a group of messages, and says how long to wait before the next.
    pub(super) fn take(&mut self, messages: usize, bytes: usize) -> Duration {
        self.take_at(Instant::now(), messages, bytes)
    }

    fn take_at(&mut self, now: Instant, messages: usize, bytes: usize) -> Duration {
        let wait = |bucket: &mut Option<Bucket>, amount: usize| {
            let wait = bucket
                .as_mut()
                .map(|bucket| bucket.take(now, amount as f64));
            wait.unwrap_or_default()
        };
        wait(&mut self.messages, messages).max(wait(&mut self.bytes, bytes))
    }
}

impl Bucket {
    /// None for a rate of 0, which is no limit.
    fn new(rate: f64) -> Option<Self> {
        (rate > 0.0).then(|| Self {
            rate,
            level: rate,
            at: Instant::now(),
        })
    }

    /// Takes `amount`, on credit if need be, and says how long it takes to pay that back.
    fn take(&mut self, now: Instant, amount: f64) -> Duration {
        let flown = self.rate * now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + flown).min(self.rate) - amount;
        Duration::try_from_secs_f64(-self.level / self.rate).unwrap_or_default()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut BrokerConfig)) -> Limits {
        let mut config = BrokerConfig::default();
        change(&mut config);
        Limits::new(&config)
    }

    #[test]
    fn a_client_is_read_at_its_rate() {
        let limits =
            limits(|c| (c.max_messages_per_second, c.max_bytes_per_second) = (100, 10_000));
        let mut throttle = limits.throttle();
        let started = Instant::now() + Duration::from_secs(1);
        let mut now = started;
        assert_eq!(throttle.take_at(now, 100, 100), Duration::ZERO);
        assert_eq!(throttle.take_at(now, 50, 0), Duration::from_millis(500));
        let (mut messages, mut bytes) = (150, 100);
        while now < started + Duration::from_secs(100) {
            let (m, b) = if bytes % 3 == 0 { (7, 10) } else { (5, 1_500) };
            now += throttle.take_at(now, m, b);
            messages += m;
            bytes += b;
        }
        assert!((9_000..10_200).contains(&messages) || (900_000..1_020_000).contains(&bytes));
        assert!(messages < 10_200 && bytes < 1_020_000, "{messages} {bytes}");
        // A long silence saves up one second and no more.
        now += Duration::from_secs(3_600);
        assert_eq!(throttle.take_at(now, 100, 0), Duration::ZERO);
        assert_eq!(throttle.take_at(now, 100, 0), Duration::from_secs(1));
    }

    #[test]
    fn no_limit_is_no_wait_and_large_amounts_do_no_harm() {
        let mut throttle = limits(|_| {}).throttle();
        assert_eq!(throttle.take(usize::MAX, usize::MAX), Duration::ZERO);
        let mut throttle = limits(|c| c.max_bytes_per_second = 1).throttle();
        assert!(throttle.take(1, 16 << 20) > Duration::from_secs(1 << 20));
        let _ = throttle.take(usize::MAX, usize::MAX);
        let limited = limits(|c| c.max_messages_per_second = 10);
        assert_eq!(limited.receive_maximum(8_192), 10);
        assert_eq!(limits(|_| {}).receive_maximum(8_192), 8_192);
    }

    #[tokio::test]
    async fn silent_connections_make_room_for_later_ones() {
        let limits = limits(|_| {});
        let mut places: Vec<Place> = (0..MOST_ARRIVING)
            .map(|_| limits.arrive().unwrap())
            .collect();
        places[0].settle();
        places.push(limits.arrive().unwrap());
        assert!(places.iter().all(|place| !place.evicted.is_cancelled()));
        places.push(limits.arrive().unwrap());
        assert!(
            places[1].evicted.is_cancelled(),
            "the oldest that has said nothing"
        );
        places[1].evicted().await;
        assert!(!places[0].evicted.is_cancelled() && !places[2].evicted.is_cancelled());
        drop(places);
        assert!(locked(&limits.arriving).waiting.is_empty());
    }

    #[tokio::test]
    async fn connections_have_an_end() {
        let limits = limits(|c| c.max_connections = 2);
        let first = limits.arrive().unwrap();
        let _second = limits.arrive().unwrap();
        assert!(limits.arrive().is_none());
        first.settle();
        assert!(limits.arrive().is_none());
        drop(first);
        assert!(limits.arrive().is_some());
    }

    #[test]
    fn topics_have_a_length_and_a_depth() {
        assert!(takes_topic("pumps/north/p7"));
        assert!(!takes_topic(&"x".repeat(MOST_TOPIC_BYTES + 1)));
        assert!(!takes_topic(&"/".repeat(MOST_TOPIC_LEVELS)));
        assert!(takes_topic(&"/".repeat(MOST_TOPIC_LEVELS - 1)));
    }
}
