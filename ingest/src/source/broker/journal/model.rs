//! What a journal says: the state that its entries add up to, and the fewest entries that say it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::entry::{Entry, Target};
use crate::source::broker::publication::Publication;
use crate::source::broker::router::Options;
use crate::source::broker::session::Will;

/// The broker's lasting state.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Model {
    pub(crate) sessions: BTreeMap<u64, SessionImage>,
    pub(crate) retained: BTreeMap<String, Arc<Publication>>,
}

/// A lasting session.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct SessionImage {
    pub(crate) client: String,
    pub(crate) user: Option<String>,
    pub(crate) expiry: u32,
    /// When its client went, in microseconds since the epoch; none while it is connected.
    pub(crate) offline: Option<i64>,
    pub(crate) will: Option<Will>,
    pub(crate) filters: BTreeMap<String, Options>,
    /// By number, which is the order of sending.
    pub(crate) deliveries: BTreeMap<u64, DeliveryImage>,
    pub(crate) held: BTreeSet<u16>,
}

/// A message that waits for a session, or is under way to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeliveryImage {
    pub(crate) publication: Arc<Publication>,
    pub(crate) target: Target,
    /// Its packet id once it was sent.
    pub(crate) id: u16,
    pub(crate) released: bool,
}

impl Model {
    /// Adds an entry. One that fits nothing, as after damage, changes nothing.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Open {
                session,
                client,
                user,
                expiry,
                will,
            } => {
                let image = self.sessions.entry(session).or_default();
                (image.client, image.user, image.expiry) = (client, user, expiry);
                (image.offline, image.will) = (None, will);
            }
            Entry::Close { session } => {
                self.sessions.remove(&session);
            }
            Entry::Queue {
                publication,
                targets,
            } => self.queue(&publication, targets),
            Entry::Retain { publication } => {
                self.retained
                    .insert(publication.topic().to_owned(), publication);
            }
            Entry::Forget { topic } => {
                self.retained.remove(&topic);
            }
            Entry::Offline { session, .. }
            | Entry::Subscribe { session, .. }
            | Entry::Unsubscribe { session, .. }
            | Entry::Sent { session, .. }
            | Entry::Released { session, .. }
            | Entry::Done { session, .. }
            | Entry::Hold { session, .. }
            | Entry::Free { session, .. } => {
                if let Some(image) = self.sessions.get_mut(&session) {
                    image.apply(entry);
                }
            }
        }
    }

    fn queue(&mut self, publication: &Arc<Publication>, targets: Vec<Target>) {
        for target in targets {
            if let Some(image) = self.sessions.get_mut(&target.session) {
                let delivery = DeliveryImage {
                    publication: Arc::clone(publication),
                    id: 0,
                    released: false,
                    target,
                };
                image.deliveries.insert(delivery.target.number, delivery);
            }
        }
    }

    /// The fewest entries that add up to this state.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut queues: HashMap<*const Publication, (Arc<Publication>, Vec<Target>)> =
            HashMap::new();
        let mut states = Vec::new();
        for (session, image) in &self.sessions {
            image.describe(*session, &mut entries, &mut states);
            for delivery in image.deliveries.values() {
                let publication = &delivery.publication;
                let queue = queues.entry(Arc::as_ptr(publication));
                let queue = queue.or_insert_with(|| (Arc::clone(publication), Vec::new()));
                queue.1.push(delivery.target.clone());
            }
        }
        let queues = queues.into_values();
        entries.extend(queues.map(|(publication, targets)| Entry::Queue {
            publication,
            targets,
        }));
        entries.append(&mut states);
        let retained = self.retained.values().cloned();
        entries.extend(retained.map(|publication| Entry::Retain { publication }));
        entries
    }
}

impl SessionImage {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Offline {
                since,
                will,
                expiry,
                ..
            } => {
                self.offline = Some(since);
                (self.will, self.expiry) = (will, expiry);
            }
            Entry::Subscribe {
                filter, options, ..
            } => {
                self.filters.insert(filter, options);
            }
            Entry::Unsubscribe { filter, .. } => {
                self.filters.remove(&filter);
            }
            Entry::Sent { number, id, .. } => {
                if let Some(delivery) = self.deliveries.get_mut(&number) {
                    delivery.id = id;
                }
            }
            Entry::Released { number, .. } => {
                if let Some(delivery) = self.deliveries.get_mut(&number) {
                    delivery.released = true;
                }
            }
            Entry::Done { number, .. } => {
                self.deliveries.remove(&number);
            }
            Entry::Hold { id, .. } => {
                self.held.insert(id);
            }
            Entry::Free { id, .. } => {
                self.held.remove(&id);
            }
            _ => {}
        }
    }

    /// Adds the entries of the session itself, and to `states` those that need its deliveries.
    fn describe(&self, session: u64, entries: &mut Vec<Entry>, states: &mut Vec<Entry>) {
        entries.push(Entry::Open {
            session,
            client: self.client.clone(),
            user: self.user.clone(),
            expiry: self.expiry,
            will: self.will.clone(),
        });
        if let Some(since) = self.offline {
            entries.push(Entry::Offline {
                session,
                since,
                will: self.will.clone(),
                expiry: self.expiry,
            });
        }
        entries.extend(
            self.filters
                .iter()
                .map(|(filter, options)| Entry::Subscribe {
                    session,
                    filter: filter.clone(),
                    options: *options,
                }),
        );
        entries.extend(self.held.iter().map(|id| Entry::Hold { session, id: *id }));
        for (number, delivery) in &self.deliveries {
            if delivery.id != 0 {
                states.push(Entry::Sent {
                    session,
                    number: *number,
                    id: delivery.id,
                });
            }
            if delivery.released {
                states.push(Entry::Released {
                    session,
                    number: *number,
                });
            }
        }
    }
}
