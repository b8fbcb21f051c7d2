//! From a message to the sessions that get it: routed, retained and journaled together.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rmqtt_codec::types::QoS;

use super::Hub;
use super::journal::{self, Entry};
use super::publication::{Delivery, Publication};
use super::retained::Kept;
use super::router::Target;
use super::session::{Held, Reserved, Session};

/// Changes that count together: none is seen by a subscriber before it is on its way to the
/// journal, and all of them are there, or none, after a crash.
pub(super) struct Batch<'h> {
    hub: &'h Hub,
    pub(super) entries: Vec<Entry>,
    /// Deliveries to lasting sessions.
    staged: Vec<(Arc<Session>, Delivery)>,
}

impl<'h> Batch<'h> {
    pub(super) fn new(hub: &'h Hub) -> Self {
        Self {
            hub,
            entries: Vec::new(),
            staged: Vec::new(),
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
        let mut retained = self.hub.retained();
        let mut kept = retained.put(publication);
        if kept == Kept::Full {
            for topic in retained.expired() {
                retained.remove(&topic);
                self.entries.push(Entry::Forget { topic });
            }
            kept = retained.put(publication);
        }
        self.hub.counters.broker.retained.set(retained.len());
        // While the lock is held: the journal has the messages of a topic in the same order.
        match kept {
            Kept::Nothing => {}
            Kept::Stored => self.entries.push(Entry::Retain {
                publication: Arc::clone(publication),
            }),
            Kept::Removed | Kept::Full => self.entries.push(Entry::Forget {
                topic: publication.topic().to_owned(),
            }),
        }
        if kept == Kept::Full {
            tracing::warn!(
                topic = publication.topic(),
                "too many retained messages: this one is not kept"
            );
        }
    }

    /// Hands a message to these sessions.
    pub(super) fn deliver(&mut self, publication: &Arc<Publication>, targets: Vec<Target>) {
        let mut journaled = Vec::new();
        for target in targets {
            let qos = publication.publish.qos.less_value(target.qos);
            let bounds = self.hub.bounds;
            let number = match target.session.reserve(publication.size(), qos, bounds) {
                Reserved::Number(number) => number,
                Reserved::Unwanted => continue,
                Reserved::Full => {
                    self.hub.counters.broker.dropped.add(1);
                    tracing::debug!(
                        client = target.session.client,
                        "a queue is full: a message is dropped"
                    );
                    continue;
                }
            };
            let delivery = Delivery {
                publication: Arc::clone(publication),
                number,
                qos,
                retain: publication.publish.retain && target.retain_as_published,
                ids: target.ids,
                share: target.share,
            };
            self.stage(target.session, delivery, &mut journaled);
        }
        self.queue(publication, journaled);
    }

    /// Sends a retained message to a new subscriber, with the retain flag.
    pub(super) fn deliver_retained(&mut self, publication: &Arc<Publication>, target: Target) {
        let mut journaled = Vec::new();
        let mut state = target.session.state();
        // Bounded by the number of retained messages.
        state.queue.reserve_anyway(publication.size());
        let number = state.number();
        drop(state);
        let delivery = Delivery {
            publication: Arc::clone(publication),
            number,
            qos: publication.publish.qos.less_value(target.qos),
            retain: true,
            ids: target.ids,
            share: None,
        };
        self.stage(target.session, delivery, &mut journaled);
        self.queue(publication, journaled);
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
        for (session, delivery) in self.staged {
            session.push(delivery);
        }
        sequence
    }
}

impl Hub {
    /// Gives deliveries of shared subscriptions to other members that are connected; returns those
    /// that nobody else can take.
    pub(super) fn hand_on(&self, session: &Session, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let mut kept = Vec::new();
        let mut batch = Batch::new(self);
        for delivery in deliveries {
            let router = self.router.read().unwrap_or_else(PoisonError::into_inner);
            let share = delivery.share.as_deref();
            let other = share.and_then(|share| router.other_member(share, session.number));
            drop(router);
            let Some(target) = other else {
                kept.push(delivery);
                continue;
            };
            batch.deliver(&delivery.publication, vec![target]);
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
}
