//! What a client wants to get.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::{
    DisconnectReasonCode as Reason, RetainHandling, SubscribeAckReason, SubscriptionOptions,
    UnsubscribeAckReason,
};

use super::Hub;
use super::connection::{Connection, End};
use super::deliver::Batch;
use super::journal::Entry;
use super::limits;
use super::outbound::Control;
use super::router::{Options, Share, Subscription, Target};
use super::session::{Session, State};
use super::wire::{FilterOptions, Outgoing};
use crate::topic;

/// The most subscriptions of one session.
const MOST_FILTERS: usize = 4_096;
/// The most subscriptions of all sessions together.
const MOST_SUBSCRIPTIONS: usize = 1_000_000;

impl Hub {
    /// Whether there is room for another subscription of the session.
    fn takes_subscription(&self, state: &State) -> bool {
        state.filters.len() < MOST_FILTERS
            && self.subscriptions.load(Ordering::Relaxed) < MOST_SUBSCRIPTIONS
    }

    /// Adds a checked subscription; true when the session did not have it.
    pub(super) fn subscribe(
        &self,
        session: &Arc<Session>,
        state: &mut State,
        filter: &str,
        options: Options,
    ) -> bool {
        let new = state.filters.insert(filter.to_owned(), options).is_none();
        let subscription = Subscription {
            session: Arc::clone(session),
            options,
        };
        let mut router = self.router_mut();
        match Share::parse(filter) {
            Ok(Some(share)) => router.join(&Arc::new(share), subscription),
            _ => router.subscribe(filter, subscription),
        }
        if new {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        new
    }
}

impl Connection {
    pub(super) fn subscribe(
        &mut self,
        id: NonZeroU16,
        filters: Vec<FilterOptions>,
        identifier: Option<NonZeroU32>,
    ) -> Result<(), End> {
        if filters.iter().any(|(filter, _)| filter.contains('\0')) {
            return Err(End::Because(Reason::MalformedPacket));
        }
        let mut status = Vec::with_capacity(filters.len());
        // By filter, so that one that is there twice sends its retained messages once.
        let mut retained = BTreeMap::new();
        let session = Arc::clone(&self.session);
        // Until it is handed to the journal: what another connection of the session changes comes
        // after it, or makes this one a stranger.
        let Some(mut state) = session.of(self.number) else {
            return Err(End::Because(Reason::SessionTakenOver));
        };
        for (filter, wanted) in filters {
            let share = match self.check(&filter, wanted)? {
                Ok(share) => share,
                Err(refused) => {
                    status.push(refused);
                    continue;
                }
            };
            if !state.filters.contains_key(&filter) && !self.hub.takes_subscription(&state) {
                status.push(SubscribeAckReason::QuotaExceeded);
                continue;
            }
            let options = Options {
                qos: wanted.qos,
                no_local: wanted.no_local,
                retain_as_published: wanted.retain_as_published,
                id: identifier,
            };
            status.push(match wanted.qos {
                QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
                QoS::AtLeastOnce => SubscribeAckReason::GrantedQos1,
                QoS::ExactlyOnce => SubscribeAckReason::GrantedQos2,
            });
            let new = self.hub.subscribe(&session, &mut state, &filter, options);
            if !share && sends_retained(wanted.retain_handling, new) {
                retained.insert(filter.clone(), options);
            }
            if self.session.lasting {
                self.changes.push(Entry::Subscribe {
                    session: self.session.number,
                    filter,
                    options,
                });
            }
        }
        let sequence = self.journal();
        drop(state);
        let ack = Outgoing::SubscribeAck { id, status };
        self.tell(Control::Send(sequence, ack));
        for (filter, options) in retained {
            self.send_retained(&filter, options);
        }
        Ok(())
    }

    /// Whether the filter is one of a shared subscription, or why it is not granted.
    fn check(
        &self,
        filter: &str,
        wanted: SubscriptionOptions,
    ) -> Result<Result<bool, SubscribeAckReason>, End> {
        let Ok(share) = Share::parse(filter) else {
            return Ok(Err(SubscribeAckReason::TopicFilterInvalid));
        };
        if share.is_some() && wanted.no_local {
            return Err(self.violation("no local on a shared subscription"));
        }
        let plain = share.as_ref().map_or(filter, |share| &share.filter);
        if !limits::takes_topic(filter) || topic::check_filter(plain).is_err() {
            return Ok(Err(SubscribeAckReason::TopicFilterInvalid));
        }
        if !self.rights.subscribe(plain) {
            return Ok(Err(SubscribeAckReason::NotAuthorized));
        }
        Ok(Ok(share.is_some()))
    }

    /// Sends what is retained for a filter, as far as there is room for it: nothing is even looked
    /// for while what an earlier filter got is still waiting.
    fn send_retained(&self, filter: &str, options: Options) {
        let hub = Arc::clone(&self.hub);
        let room = self.session.state().queue.room(hub.retained_bounds);
        if room == 0 {
            hub.counters.broker.dropped.add(1);
            return;
        }
        let publications = hub.retained().matching(filter, room);
        let subscription = Subscription {
            session: Arc::clone(&self.session),
            options,
        };
        let mut batch = Batch::new(&hub);
        for publication in publications {
            batch.deliver_retained(&publication, Target::new(&subscription, None));
        }
        batch.finish();
    }

    pub(super) fn unsubscribe(&mut self, id: NonZeroU16, filters: &[String]) -> Result<(), End> {
        if filters.iter().any(|filter| filter.contains('\0')) {
            return Err(End::Because(Reason::MalformedPacket));
        }
        let mut status = Vec::with_capacity(filters.len());
        let session = Arc::clone(&self.session);
        let Some(mut state) = session.of(self.number) else {
            return Err(End::Because(Reason::SessionTakenOver));
        };
        for filter in filters {
            let removed = state.filters.remove(filter);
            if removed.is_none() {
                status.push(UnsubscribeAckReason::NoSubscriptionExisted);
                continue;
            }
            self.hub.drop_subscription(filter, self.session.number);
            if self.session.lasting {
                self.changes.push(Entry::Unsubscribe {
                    session: self.session.number,
                    filter: filter.clone(),
                });
            }
            status.push(UnsubscribeAckReason::Success);
        }
        let sequence = self.journal();
        drop(state);
        let ack = Outgoing::UnsubscribeAck { id, status };
        self.tell(Control::Send(sequence, ack));
        Ok(())
    }
}

fn sends_retained(handling: RetainHandling, new: bool) -> bool {
    match handling {
        RetainHandling::AtSubscribe => true,
        RetainHandling::AtSubscribeNew => new,
        RetainHandling::NoAtSubscribe => false,
    }
}
