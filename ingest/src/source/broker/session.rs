//! One MQTT session: what the broker remembers of a client, connected or not.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::DisconnectReasonCode as Reason;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::inflight::Inflight;
use super::journal::Entry;
use super::publication::{Delivery, Publication};
use super::queue::{Queue, QueueBounds};
use super::router::Options;
use crate::source::client_hash;

/// Expiry of a session that never expires.
pub(super) const NEVER: u32 = u32::MAX;

/// A session. Its number is never used for another one.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) client: String,
    /// Who has proved to be its user; another one gets another session.
    pub(super) user: Option<String>,
    /// Names the session in the log.
    pub(super) hash: u64,
    /// It outlives its connection, so it is journaled.
    pub(super) lasting: bool,
    online: AtomicBool,
    /// When its client went, as a number that grows; 0 while it is here.
    pub(super) absence: AtomicU64,
    state: Mutex<State>,
}

/// What changes of a session.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) link: Option<Link>,
    /// Seconds it outlives its connection; [`NEVER`] for ever.
    pub(super) expiry: u32,
    /// It is over: nothing is added any more.
    pub(super) closed: bool,
    pub(super) filters: HashMap<String, Options>,
    pub(super) queue: Queue,
    pub(super) inflight: Inflight,
    /// Packet ids of messages from the client at QoS 2 that it has not released.
    pub(super) held: HashMap<u16, Held>,
    pub(super) will: Option<Will>,
    /// The task that ends the session or publishes its will in time.
    pub(super) timer: Option<AbortHandle>,
    numbers: u64,
}

/// The connection that a session has now.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) connection: u64,
    pub(super) kick: Kick,
    /// Rings when there is something to deliver.
    pub(super) wake: Arc<Notify>,
}

/// Ends a connection from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Kick {
    token: CancellationToken,
    reason: Arc<Mutex<Option<Reason>>>,
}

/// What has become of a message at QoS 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// This connection has handed it to the log.
    Pending(u64),
    /// It is in the log and with its subscribers.
    Owned,
}

/// A message to publish when the client goes without a word.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Will {
    pub(super) publication: Arc<Publication>,
    /// Seconds to wait for the client to come back.
    pub(super) delay: u32,
}

/// What the writing half of a connection sends next.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) packets: Vec<(Delivery, Option<NonZeroU16>, bool)>,
    /// What has to be durable before they may be sent.
    pub(super) entries: Vec<Entry>,
}

impl Kick {
    pub(super) fn kick(&self, reason: Reason) {
        let mut slot = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(reason);
        self.token.cancel();
    }

    /// Resolves with the reason to go.
    pub(super) async fn kicked(&self) -> Reason {
        self.token.cancelled().await;
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.unwrap_or(Reason::AdministrativeAction)
    }
}

impl Session {
    pub(super) fn new(number: u64, client: String, lasting: bool, expiry: u32) -> Self {
        Self {
            number,
            hash: client_hash(&client),
            client,
            user: None,
            lasting,
            online: AtomicBool::new(false),
            absence: AtomicU64::new(0),
            state: Mutex::new(State {
                expiry,
                numbers: 1,
                ..State::default()
            }),
        }
    }

    /// The session as this user's, with its messages counted to this sum.
    pub(super) fn belonging(self, user: Option<String>, sum: &Arc<AtomicUsize>) -> Self {
        let mut state = self.state();
        state.queue.count_to(sum);
        state.inflight.count_to(sum);
        drop(state);
        Self { user, ..self }
    }

    /// The state stays consistent at every step, so a panic elsewhere does not spoil it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if the session still has this connection.
    pub(super) fn of(&self, connection: u64) -> Option<MutexGuard<'_, State>> {
        let state = self.state();
        let mine = state.link.as_ref().map(|link| link.connection) == Some(connection);
        mine.then_some(state)
    }

    /// Whether a client is connected.
    pub(super) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    pub(super) fn set_online(&self, online: bool) {
        self.online.store(online, Ordering::Relaxed);
    }

    /// Takes room and a number for a delivery; none when the session does not take it: it is over,
    /// its client is away and the message is of QoS 0, or too much waits already.
    pub(super) fn reserve(&self, size: usize, qos: QoS, bounds: QueueBounds) -> Reserved {
        let mut state = self.state();
        if state.closed || (qos == QoS::AtMostOnce && state.link.is_none()) {
            return Reserved::Unwanted;
        }
        if !state.queue.reserve(size, bounds) {
            return Reserved::Full;
        }
        Reserved::Number(state.number())
    }

    /// Adds a delivery that room was taken for, and wakes the connection.
    pub(super) fn push(&self, delivery: Delivery) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.queue.push(delivery);
        if let Some(link) = &state.link {
            link.wake.notify_one();
        }
    }
}

/// Whether a session takes a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Number(u64),
    Unwanted,
    Full,
}

impl State {
    /// A number for the next delivery.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Goes on after the deliveries that a journal has brought back.
    pub(super) fn continue_after(&mut self, number: u64) {
        self.numbers = self.numbers.max(number);
    }

    /// Takes what may be sent now, about `most` messages: what goes again first, then what waits.
    pub(super) fn take_outbox(&mut self, session: &Session, most: usize) -> Outbox {
        let mut outbox = Outbox::default();
        while outbox.packets.len() < most {
            if self.inflight.has_again() {
                match self.inflight.next_again() {
                    Some((id, delivery)) => outbox.packets.push((delivery, Some(id), true)),
                    None => break,
                }
                continue;
            }
            let Some(next) = self.queue.front() else {
                break;
            };
            let free = self.inflight.has_room() && !self.inflight.is_heavy();
            if next.qos != QoS::AtMostOnce && !free {
                break;
            }
            let Some(delivery) = self.queue.pop() else {
                break;
            };
            self.send(session, delivery, &mut outbox);
        }
        outbox
    }

    fn send(&mut self, session: &Session, delivery: Delivery, outbox: &mut Outbox) {
        let tracked = session.lasting && delivery.qos != QoS::AtMostOnce;
        if delivery.publication.is_expired() {
            if tracked {
                outbox.entries.push(Entry::Done {
                    session: session.number,
                    number: delivery.number,
                });
            }
            return;
        }
        if delivery.qos == QoS::AtMostOnce {
            outbox.packets.push((delivery, None, false));
            return;
        }
        let id = self.inflight.add(delivery.clone());
        if tracked {
            outbox.entries.push(Entry::Sent {
                session: session.number,
                number: delivery.number,
                id: id.get(),
            });
        }
        outbox.packets.push((delivery, Some(id), false));
    }
}
