//! What a client wants to get.

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
use super::outbound::Control;
use super::publication::Publication;
use super::router::{Options, Share, Subscription, Target};
use super::session::Session;
use super::wire::{FilterOptions, Outgoing};
use crate::topic;

impl Hub {
    /// Adds a checked subscription; true when the session did not have it.
    pub(super) fn subscribe(&self, session: &Arc<Session>, filter: &str, options: Options) -> bool {
        let mut state = session.state();
        if state.closed {
            return false;
        }
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
        let mut retained = Vec::new();
        for (filter, wanted) in filters {
            let share = match self.check(&filter, wanted)? {
                Ok(share) => share,
                Err(refused) => {
                    status.push(refused);
                    continue;
                }
            };
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
            let new = self.hub.subscribe(&self.session, &filter, options);
            if !share && sends_retained(wanted.retain_handling, new) {
                retained.push((options, self.hub.retained().matching(&filter)));
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
        let ack = Outgoing::SubscribeAck { id, status };
        self.tell(Control::Send(sequence, ack));
        self.send_retained(retained);
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
        if topic::check_filter(plain).is_err() {
            return Ok(Err(SubscribeAckReason::TopicFilterInvalid));
        }
        if !self.rights.subscribe(plain) {
            return Ok(Err(SubscribeAckReason::NotAuthorized));
        }
        Ok(Ok(share.is_some()))
    }

    fn send_retained(&mut self, retained: Vec<(Options, Vec<Arc<Publication>>)>) {
        let hub = Arc::clone(&self.hub);
        let mut batch = Batch::new(&hub);
        for (options, publications) in retained {
            let subscription = Subscription {
                session: Arc::clone(&self.session),
                options,
            };
            for publication in publications {
                batch.deliver_retained(&publication, Target::new(&subscription, None));
            }
        }
        batch.finish();
    }

    pub(super) fn unsubscribe(&mut self, id: NonZeroU16, filters: &[String]) -> Result<(), End> {
        if filters.iter().any(|filter| filter.contains('\0')) {
            return Err(End::Because(Reason::MalformedPacket));
        }
        let mut status = Vec::with_capacity(filters.len());
        for filter in filters {
            let removed = self.session.state().filters.remove(filter);
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
