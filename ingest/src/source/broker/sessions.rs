//! All sessions by client id: who comes, who comes back, who takes over, and who is gone for good.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::DisconnectReasonCode as Reason;

use super::Hub;
use super::auth::Rights;
use super::journal::Entry;
use super::publication::Delivery;
use super::router::Share;
use super::session::{Link, NEVER, Session, State, Will};
use crate::source::now_micros;

/// The sessions that there are.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_client: Mutex<HashMap<String, Arc<Session>>>,
    numbers: AtomicU64,
    connections: AtomicU64,
    /// The clients of absent sessions in the order in which they went.
    absent: Mutex<BTreeMap<u64, String>>,
    absences: AtomicU64,
    /// Bytes that wait for, and are under way to, all subscribers.
    pub(super) kept_bytes: Arc<AtomicUsize>,
}

/// What a CONNECT asks of its session.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) client: String,
    /// Who the client has proved to be.
    pub(super) user: Option<String>,
    pub(super) clean: bool,
    /// Seconds the session outlives the connection; [`NEVER`] for ever.
    pub(super) expiry: u32,
    pub(super) will: Option<Will>,
    /// Deliveries the client takes unacknowledged.
    pub(super) window: u16,
}

/// A connection with its session.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) session: Arc<Session>,
    /// The session was there before.
    pub(super) present: bool,
    pub(super) link: Link,
    /// Deliveries at QoS 2 that only need their PUBREL.
    pub(super) released: Vec<NonZeroU16>,
    /// The journal's number of it.
    pub(super) sequence: u64,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    /// The will is to be published.
    pub(super) will: bool,
    /// The session's expiry, if the client has changed it.
    pub(super) expiry: Option<u32>,
}

impl Sessions {
    fn by_client(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A session with a number of its own.
    fn create(&self, wish: &Wish) -> Arc<Session> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let lasting = wish.expiry > 0;
        let session = Session::new(number, wish.client.clone(), lasting, wish.expiry);
        Arc::new(session.belonging(wish.user.clone(), &self.kept_bytes))
    }

    /// Puts in a session that a journal has brought back.
    pub(super) fn restore(&self, session: &Arc<Session>) {
        self.numbers.fetch_max(session.number, Ordering::Relaxed);
        self.by_client()
            .insert(session.client.clone(), Arc::clone(session));
        self.went(session);
    }

    fn absent(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the client of a session has gone.
    fn went(&self, session: &Session) {
        let number = self.absences.fetch_add(1, Ordering::Relaxed) + 1;
        session.absence.store(number, Ordering::Relaxed);
        self.absent().insert(number, session.client.clone());
    }

    /// Notes that it is back, or that the session is over.
    fn no_longer_absent(&self, session: &Session) {
        let number = session.absence.swap(0, Ordering::Relaxed);
        if number > 0 {
            self.absent().remove(&number);
        }
    }

    /// Takes out the session whose client has been away for longest.
    fn take_oldest(&self, by_client: &mut HashMap<String, Arc<Session>>) -> Option<Arc<Session>> {
        let mut absent = self.absent();
        while let Some((number, client)) = absent.pop_first() {
            // One that is just ending is in the table no more.
            let there = by_client.get(&client);
            if there.is_some_and(|s| s.absence.load(Ordering::Relaxed) == number) {
                return by_client.remove(&client);
            }
        }
        None
    }

    /// The number of sessions.
    pub(super) fn len(&self) -> usize {
        self.by_client().len()
    }

    fn link(&self) -> Link {
        Link {
            connection: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            kick: super::session::Kick::default(),
            wake: Arc::default(),
        }
    }
}

impl Hub {
    /// Lets a client in: with its session, or with a new one. Whoever was connected under its id
    /// has to go. Where there are too many sessions, the one goes whose client has been away for
    /// longest; none when all are connected.
    pub(super) fn enter(self: &Arc<Self>, wish: &Wish) -> Option<Entered> {
        let mut by_client = self.sessions.by_client();
        let old = by_client.get(&wish.client).cloned();
        if let Some(old) = &old
            && let Some(entered) = self.resume(old, wish)
        {
            return Some(entered);
        }
        if old.is_none() && by_client.len() >= self.max_sessions {
            let oldest = self.sessions.take_oldest(&mut by_client)?;
            tracing::warn!(
                client = oldest.client,
                "too many MQTT sessions: one whose client is away ends"
            );
            self.end(&oldest);
        }
        let mut ended = 0;
        if let Some(old) = old {
            by_client.remove(&old.client);
            self.end(&old);
            // A client that is told of a new session does not find the old one after a crash.
            ended = if old.lasting { self.journal.last() } else { 0 };
        }
        let session = self.sessions.create(wish);
        by_client.insert(wish.client.clone(), Arc::clone(&session));
        self.counters.broker.sessions.set(by_client.len());
        let link = self.sessions.link();
        let mut state = session.state();
        state.link = Some(link.clone());
        state.will.clone_from(&wish.will);
        state.inflight.resume(wish.window);
        session.set_online(true);
        let sequence = self.journal_open(&session, wish).max(ended);
        drop(state);
        Some(Entered {
            session,
            present: false,
            link,
            released: Vec::new(),
            sequence,
        })
    }

    /// Whether the session under a client id is subscribed to what `rights` do not allow: it is from
    /// before the rules changed.
    pub(super) fn exceeds(&self, client: &str, rights: &Rights) -> bool {
        let session = self.sessions.by_client().get(client).cloned();
        session.is_some_and(|session| {
            let state = session.state();
            state.filters.keys().any(|filter| {
                let share = Share::parse(filter).ok().flatten();
                let plain = share.as_ref().map_or(filter.as_str(), |s| &s.filter);
                !rights.subscribe(plain)
            })
        })
    }

    /// Goes on with a session, unless the client wants a clean one, it has ended, or it is another
    /// user's, whose messages wait in it.
    fn resume(self: &Arc<Self>, session: &Arc<Session>, wish: &Wish) -> Option<Entered> {
        let mut state = session.state();
        if wish.clean || state.closed || state.expiry == 0 || session.user != wish.user {
            return None;
        }
        if let Some(timer) = state.timer.take() {
            timer.abort();
        }
        let old_will = std::mem::replace(&mut state.will, wish.will.clone());
        let link = self.sessions.link();
        let old = state.link.replace(link.clone());
        let released = state.inflight.resume(wish.window);
        state.expiry = wish.expiry;
        self.sessions.no_longer_absent(session);
        session.set_online(true);
        // In the order of changes of the session, which its lock keeps.
        let sequence = self.journal_open(session, wish);
        drop(state);
        if let Some(old) = old {
            tracing::info!(client = session.client, "an MQTT client id was taken over");
            old.kick.kick(Reason::SessionTakenOver);
            // A will with a delay is not sent to a client that is back [MQTT-3.1.3-9].
            if let Some(will) = old_will.filter(|will| will.delay == 0) {
                self.publish_will(&will, session.number);
            }
        }
        Some(Entered {
            session: Arc::clone(session),
            present: true,
            link,
            released,
            sequence,
        })
    }

    fn journal_open(&self, session: &Session, wish: &Wish) -> u64 {
        if !session.lasting {
            return 0;
        }
        self.journal.append(vec![Entry::Open {
            session: session.number,
            client: session.client.clone(),
            user: session.user.clone(),
            expiry: wish.expiry,
            will: wish.will.clone(),
        }])
    }

    /// A connection has ended.
    pub(super) fn leave(self: &Arc<Self>, session: &Arc<Session>, connection: u64, how: Leave) {
        let Some(mut state) = session.of(connection) else {
            return;
        };
        let will = state.will.take().filter(|_| how.will);
        state.expiry = how.expiry.unwrap_or(state.expiry);
        state.link = None;
        session.set_online(false);
        if state.expiry == 0 {
            state.will = will;
            drop(state);
            let mut by_client = self.sessions.by_client();
            if by_client
                .get(&session.client)
                .is_some_and(|s| s.number == session.number)
            {
                by_client.remove(&session.client);
            }
            self.counters.broker.sessions.set(by_client.len());
            drop(by_client);
            self.end(session);
            return;
        }
        let (now, later) = match will {
            Some(will) if will.delay > 0 => (None, Some(will)),
            now => (now, None),
        };
        state.will = later;
        self.sessions.went(session);
        state.queue.take(|d| d.qos == QoS::AtMostOnce);
        let shared = self.take_shared(session, &mut state);
        self.journal.append(vec![Entry::Offline {
            session: session.number,
            since: now_micros(),
            will: state.will.clone(),
            expiry: state.expiry,
        }]);
        self.arm(session, &mut state, Duration::ZERO);
        drop(state);
        if let Some(will) = now {
            self.publish_will(&will, session.number);
        }
        for delivery in self.hand_on(session, shared) {
            let mut state = session.state();
            state.queue.reserve_anyway(delivery.publication.size());
            drop(state);
            session.push(delivery);
        }
    }

    /// Ends a session that is out of the table: its subscriptions, its deliveries, its will.
    fn end(self: &Arc<Self>, session: &Arc<Session>) {
        let mut state = session.state();
        state.closed = true;
        self.sessions.no_longer_absent(session);
        if let Some(timer) = state.timer.take() {
            timer.abort();
        }
        let will = state.will.take();
        let filters = std::mem::take(&mut state.filters);
        let shared = self.take_shared(session, &mut state);
        state.queue.take(|_| true);
        state.inflight.forget();
        let link = state.link.take();
        session.set_online(false);
        drop(state);
        for filter in filters.keys() {
            self.drop_subscription(filter, session.number);
        }
        if let Some(link) = link {
            tracing::info!(client = session.client, "an MQTT client id was taken over");
            link.kick.kick(Reason::SessionTakenOver);
        }
        self.hand_on(session, shared);
        if session.lasting {
            self.journal.append(vec![Entry::Close {
                session: session.number,
            }]);
        }
        if let Some(will) = will {
            self.publish_will(&will, session.number);
        }
    }

    /// Removes a subscription from the router.
    pub(super) fn drop_subscription(&self, filter: &str, session: u64) {
        let mut router = self.router_mut();
        match Share::parse(filter) {
            Ok(Some(share)) => router.leave(&share, session),
            _ => router.unsubscribe(filter, session),
        }
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets the clock for the will and the end of an absent client's session.
    pub(super) fn arm(self: &Arc<Self>, session: &Arc<Session>, state: &mut State, away: Duration) {
        let will = state.will.as_ref().map(|will| will.delay.min(state.expiry));
        let expiry = (state.expiry != NEVER).then_some(state.expiry);
        let Some(first) = will.or(expiry) else {
            return;
        };
        let wait = Duration::from_secs(u64::from(first)).saturating_sub(away);
        let (hub, session) = (Arc::downgrade(self), Arc::clone(session));
        let timer = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(hub) = hub.upgrade() {
                hub.due(&session, away + wait);
            }
        });
        state.timer = Some(timer.abort_handle());
    }

    /// An absent client's will or session is due.
    fn due(self: &Arc<Self>, session: &Arc<Session>, away: Duration) {
        let mut by_client = self.sessions.by_client();
        let mut state = session.state();
        if state.link.is_some() || state.closed {
            return;
        }
        state.timer = None;
        if state.expiry != NEVER && away.as_secs() >= u64::from(state.expiry) {
            drop(state);
            by_client.remove(&session.client);
            self.counters.broker.sessions.set(by_client.len());
            drop(by_client);
            tracing::debug!(client = session.client, "an MQTT session has expired");
            self.end(session);
            return;
        }
        drop(by_client);
        let will = state.will.take();
        self.journal.append(vec![Entry::Offline {
            session: session.number,
            since: now_micros() - i64::try_from(away.as_micros()).unwrap_or(0),
            will: None,
            expiry: state.expiry,
        }]);
        self.arm(session, &mut state, away);
        drop(state);
        if let Some(will) = will {
            self.publish_will(&will, session.number);
        }
    }

    /// Takes out what another member of a shared subscription can get instead.
    fn take_shared(&self, session: &Session, state: &mut State) -> Vec<Delivery> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        let free = |delivery: &Delivery| {
            let share = delivery.share.as_deref();
            share.is_some_and(|share| router.has_other_member(share, session.number))
        };
        let mut shared = state.inflight.take_shared(&free);
        shared.extend(state.queue.take(free));
        shared
    }
}
