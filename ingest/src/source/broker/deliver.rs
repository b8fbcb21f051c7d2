//! From a message to the sessions that get it: routed, retained and journaled together.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rmqtt_codec::types::QoS;

use super::Hub;
use super::journal::{self, Entry};
use super::publication::{Delivery, Publication};
use super::queue::QueueBounds;
use super::retained::Kept;
use super::router::{Share, Target};
use super::session::{Held, Reserved, Session};

/// Changes that count together: none is seen by a subscriber before it is on its way to the
/// journal, and all of them are there, or none, after a crash.
pub(super) struct Batch<'h> {
    hub: &'h Hub,
    pub(super) entries: Vec<Entry>,
    /// Deliveries to lasting sessions.
    staged: Vec<(Arc<Session>, Delivery)>,
    /// The journal's number of what could not wait for the others.
    sequence: u64,
}

impl<'h> Batch<'h> {
    pub(super) fn new(hub: &'h Hub) -> Self {
        Self {
            hub,
            entries: Vec::new(),
            staged: Vec::new(),
            sequence: 0,
        }
    }

    /// Publishes a message that the session of this number has sent.
    pub(super) fn publish(&mut self, publication: &Arc<Publication>, publisher: u64) {
        if publication.publish.retain {
            self.retain(publication);
        }
        if self.hub.subscriptions.load(Ordering::Relaxed) == 0 {
            return;
        }
        let router = &self.hub.router;
        let router = router.read().unwrap_or_else(PoisonError::into_inner);
        let targets = router.find(publication.topic(), publisher);
        drop(router);
        self.deliver(publication, targets);
    }

    fn retain(&mut self, publication: &Arc<Publication>) {
        let mut entries = Vec::new();
        let mut retained = self.hub.retained();
        let mut kept = retained.put(publication);
        if kept == Kept::Full {
            for topic in retained.sweep(Instant::now()) {
                entries.push(Entry::Forget { topic });
            }
            kept = retained.put(publication);
        }
        self.hub.counters.broker.retained.set(retained.len());
        match kept {
            Kept::Nothing => {}
            Kept::Stored => entries.push(Entry::Retain {
                publication: Arc::clone(publication),
            }),
            Kept::Removed | Kept::Full => entries.push(Entry::Forget {
                topic: publication.topic().to_owned(),
            }),
        }
        // While the lock is held: the journal has the messages of a topic in the same order.
        self.sequence = self.sequence.max(self.hub.journal.append(entries));
        drop(retained);
        if kept == Kept::Full {
            tracing::warn!(
                topic = publication.topic(),
                "too many retained messages: this one is not kept"
            );
        }
    }

    /// Hands a message to these sessions; one for a shared subscription to the first of its members
    /// that takes it.
    fn deliver(&mut self, publication: &Arc<Publication>, targets: Vec<Target>) {
        let mut journaled = Vec::new();
        for target in targets {
            let retain = publication.publish.retain && target.retain_as_published;
            let (share, first) = (target.share.clone(), target.session.number);
            let bounds = self.hub.bounds;
            let mut reserved = self.place(publication, target, retain, bounds, &mut journaled);
            if let Some(share) = share.filter(|_| reserved != Placed::Taken) {
                for other in self.hub.members(&share, first) {
                    match self.place(publication, other, retain, bounds, &mut journaled) {
                        Placed::Unwanted => {}
                        placed => reserved = placed,
                    }
                    if reserved == Placed::Taken {
                        break;
                    }
                }
            }
            if reserved == Placed::Full {
                self.hub.counters.broker.dropped.add(1);
            }
        }
        self.queue(publication, journaled);
    }

    /// Sends a retained message to a new subscriber, with the retain flag.
    pub(super) fn deliver_retained(&mut self, publication: &Arc<Publication>, target: Target) {
        let mut journaled = Vec::new();
        let bounds = self.hub.retained_bounds;
        if self.place(publication, target, true, bounds, &mut journaled) == Placed::Full {
            self.hub.counters.broker.dropped.add(1);
        }
        self.queue(publication, journaled);
    }

    /// Takes room with a session for a delivery, and stages it.
    fn place(
        &mut self,
        publication: &Arc<Publication>,
        target: Target,
        retain: bool,
        bounds: QueueBounds,
        journaled: &mut Vec<journal::Target>,
    ) -> Placed {
        let qos = publication.publish.qos.less_value(target.qos);
        let number = match target.session.reserve(publication.size(), qos, bounds) {
            Reserved::Number(number) => number,
            Reserved::Unwanted => return Placed::Unwanted,
            Reserved::Full => {
                tracing::debug!(client = target.session.client, "a queue is full");
                return Placed::Full;
            }
        };
        let delivery = Delivery {
            publication: Arc::clone(publication),
            number,
            qos,
            retain,
            ids: target.ids,
            share: target.share,
        };
        self.stage(target.session, delivery, journaled);
        Placed::Taken
    }

    fn stage(
        &mut self,
        session: Arc<Session>,
        delivery: Delivery,
        journaled: &mut Vec<journal::Target>,
    ) {
        if !session.lasting || delivery.qos == QoS::AtMostOnce {
            session.push(delivery);
            return;
        }
        journaled.push(journal::Target {
            session: session.number,
            number: delivery.number,
            qos: delivery.qos,
            retain: delivery.retain,
            ids: delivery.ids.clone(),
            share: delivery.share.clone(),
        });
        self.staged.push((session, delivery));
    }

    fn queue(&mut self, publication: &Arc<Publication>, targets: Vec<journal::Target>) {
        if !targets.is_empty() {
            self.entries.push(Entry::Queue {
                publication: Arc::clone(publication),
                targets,
            });
        }
    }

    /// Notes that a message at QoS 2 is taken; false when an earlier connection has brought it
    /// already.
    pub(super) fn own(&mut self, session: &Session, id: u16) -> bool {
        let before = session.state().held.insert(id, Held::Owned);
        if before == Some(Held::Owned) {
            return false;
        }
        if session.lasting {
            self.entries.push(Entry::Hold {
                session: session.number,
                id,
            });
        }
        true
    }

    /// Hands everything over; returns the number of the journal that tells when it is durable.
    pub(super) fn finish(self) -> u64 {
        let sequence = self.hub.journal.append(self.entries);
        let sequence = sequence.max(self.sequence);
        for (session, delivery) in self.staged {
            session.push(delivery);
        }
        sequence
    }
}

/// What became of a message for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    Taken,
    /// It is over, or away, and does not get the message.
    Unwanted,
    Full,
}

impl Hub {
    /// Gives deliveries of shared subscriptions to other members that are connected; returns those
    /// that nobody else takes.
    pub(super) fn hand_on(&self, session: &Session, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut kept = Vec::new();
        let mut batch = Batch::new(self);
        for delivery in deliveries {
            if !batch.hand_on(session.number, &delivery) {
                kept.push(delivery);
                continue;
            }
            if session.lasting {
                batch.entries.push(Entry::Done {
                    session: session.number,
                    number: delivery.number,
                });
            }
        }
        batch.finish();
        kept
    }

    /// Who else than this session may take a message of a shared subscription, in turn.
    fn members(&self, share: &Share, except: u64) -> Vec<Target> {
        let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
        router.members(share, except)
    }
}

impl Batch<'_> {
    /// Whether a connected member other than this session takes the delivery.
    fn hand_on(&mut self, from: u64, delivery: &Delivery) -> bool {
        let Some(share) = &delivery.share else {
            return false;
        };
        let publication = &delivery.publication;
        let mut journaled = Vec::new();
        let members = self.hub.members(share, from);
        let mut connected = members.into_iter().filter(|m| m.session.is_online());
        let taken = connected.any(|target| {
            let retain = publication.publish.retain && target.retain_as_published;
            let bounds = self.hub.bounds;
            self.place(publication, target, retain, bounds, &mut journaled) == Placed::Taken
        });
        self.queue(publication, journaled);
        taken
    }
}
