//! What a client publishes, and what it acknowledges.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{DisconnectReasonCode as Reason, PublishAckReason};

use super::connection::{Connection, End};
use super::debt::Route;
use super::deliver::Batch;
use super::handshake::TOPIC_ALIASES;
use super::inflight::Received;
use super::journal::Entry;
use super::limits;
use super::outbound::Control;
use super::publication::Publication;
use super::session::Held;
use super::wire::{Ack, AckKind, Outgoing};
use crate::source::now_micros;
use crate::topic;
use crate::wal::Message;

/// Reason code of PUBREL and PUBCOMP for a packet id that is not in use.
const NOT_FOUND: u8 = 0x92;

impl Connection {
    pub(super) fn publish(&mut self, mut publish: Publish) -> Result<(), End> {
        self.published.0 += 1;
        self.published.1 += publish.topic.len() + publish.payload.len();
        self.resolve_alias(&mut publish)?;
        if !topic::is_topic_name(&publish.topic) || !limits::takes_topic(&publish.topic) {
            let null = publish.topic.contains('\0');
            return Err(End::Because(match null {
                true => Reason::MalformedPacket,
                false => Reason::TopicNameInvalid,
            }));
        }
        let id = publish.packet_id.map_or(0, NonZeroU16::get);
        let mut dup = publish.dup;
        if publish.qos == QoS::ExactlyOnce {
            match self.hold(id) {
                Hold::New => {}
                Hold::Again => dup = true,
                Hold::Here => return Ok(()),
                Hold::Owned => {
                    let sequence = self.settled();
                    self.answer(AckKind::Receive, id, 0, sequence);
                    return Ok(());
                }
            }
        }
        if id != 0 && self.debt.take(1) > self.receive_maximum {
            return Err(End::Because(Reason::ReceiveMaximumExceeded));
        }
        if publish.qos == QoS::ExactlyOnce {
            self.twos.insert(id);
        }
        if let Some(refused) = self.objection(&publish) {
            return self.refuse(&publish, refused);
        }
        let wanted = publish.retain || self.hub.subscriptions.load(Ordering::Relaxed) > 0;
        let publication = wanted.then(|| Arc::new(Publication::new(&publish)));
        if !self.hub.is_logged(&publish.topic) {
            self.route_now(publication.as_ref(), publish.qos, id);
            return Ok(());
        }
        if id == 0 {
            if let Some(publication) = &publication {
                self.route_now(Some(publication), QoS::AtMostOnce, 0);
            }
        } else {
            let two = publish.qos == QoS::ExactlyOnce;
            let route = (two || wanted).then_some(Route {
                hold: two.then_some(id),
                publication,
            });
            self.owed.add(two, route);
        }
        let message = Message {
            client: self.session.hash,
            packet_id: id,
            dup,
            received: now_micros(),
            topic: publish.topic.as_bytes().clone(),
            payload: publish.payload,
        };
        self.bytes += message.encoded_len();
        self.messages.push(message);
        Ok(())
    }

    /// Puts the topic in the place of an alias, and notes a new one.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), End> {
        let alias = publish.properties.as_ref().and_then(|p| p.topic_alias);
        let Some(alias) = alias.map(NonZeroU16::get) else {
            if publish.topic.is_empty() {
                return Err(self.violation("a PUBLISH with neither topic nor alias"));
            }
            return Ok(());
        };
        if alias > TOPIC_ALIASES {
            return Err(End::Because(Reason::TopicAliasInvalid));
        }
        if !publish.topic.is_empty() {
            self.aliases.insert(alias, publish.topic.to_string());
            return Ok(());
        }
        match self.aliases.get(&alias) {
            Some(topic) => publish.topic = topic.as_str().into(),
            None => return Err(self.violation("a topic alias that was never set")),
        }
        Ok(())
    }

    /// Why the message is not taken, for its acknowledgement.
    fn objection(&self, publish: &Publish) -> Option<PublishAckReason> {
        if publish.topic.starts_with("$SYS/") || !self.rights.publish(&publish.topic) {
            return Some(PublishAckReason::NotAuthorized);
        }
        let text = publish
            .properties
            .as_ref()
            .is_some_and(|p| p.is_utf8_payload);
        (text && std::str::from_utf8(&publish.payload).is_err())
            .then_some(PublishAckReason::PayloadFormatInvalid)
    }

    /// Acknowledges a message without taking it. MQTT 3.1.1 has no way to say so [MQTT-3.3.5-2].
    fn refuse(&mut self, publish: &Publish, reason: PublishAckReason) -> Result<(), End> {
        tracing::info!(
            client = self.session.client,
            topic = &publish.topic[..],
            ?reason,
            "a message is not taken"
        );
        let id = publish.packet_id.map_or(0, NonZeroU16::get);
        let is_v5 = self.wire.is_v5();
        match publish.qos {
            QoS::AtMostOnce if is_v5 && reason == PublishAckReason::PayloadFormatInvalid => {
                return Err(End::Because(Reason::PayloadFormatInvalid));
            }
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.answer(AckKind::Acknowledge, id, reason.into(), 0),
            QoS::ExactlyOnce => {
                let Some(mut state) = self.session.of(self.number) else {
                    return Err(End::Because(Reason::SessionTakenOver));
                };
                // After a PUBREC with an error the id is free again [MQTT-4.3.3-9].
                if is_v5 {
                    state.held.remove(&id);
                    self.twos.remove(&id);
                } else {
                    state.held.insert(id, Held::Owned);
                }
                drop(state);
                self.answer(AckKind::Receive, id, reason.into(), 0);
            }
        }
        Ok(())
    }

    /// Routes a message that does not wait for the log, and acknowledges it.
    fn route_now(&mut self, publication: Option<&Arc<Publication>>, qos: QoS, id: u16) {
        let hub = Arc::clone(&self.hub);
        let mut batch = Batch::new(&hub);
        batch.entries.append(&mut self.changes);
        if qos == QoS::ExactlyOnce {
            batch.own(&self.session, id);
        }
        if let Some(publication) = publication {
            batch.publish(publication, self.session.number);
        }
        let sequence = batch.finish();
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.answer(AckKind::Acknowledge, id, 0, sequence),
            QoS::ExactlyOnce => self.answer(AckKind::Receive, id, 0, sequence),
        }
    }

    fn answer(&self, kind: AckKind, id: u16, reason: u8, sequence: u64) {
        let ack = Ack { kind, id, reason };
        self.tell(Control::Send(sequence, Outgoing::Ack(ack)));
    }

    /// The journal's number to wait for before the client is told of what an earlier packet, or an
    /// earlier connection, has changed.
    fn settled(&mut self) -> u64 {
        match self.journal() {
            0 if self.session.lasting => self.hub.journal.last(),
            sequence => sequence,
        }
    }

    /// Looks whether a message at QoS 2 is known by its packet id.
    fn hold(&mut self, id: u16) -> Hold {
        let Some(mut state) = self.session.of(self.number) else {
            return Hold::Here;
        };
        match state.held.insert(id, Held::Pending(self.number)) {
            None => Hold::New,
            Some(Held::Owned) => {
                state.held.insert(id, Held::Owned);
                Hold::Owned
            }
            Some(Held::Pending(number)) if number == self.number => Hold::Here,
            Some(Held::Pending(_)) => Hold::Again,
        }
    }

    /// The client acknowledges a delivery, or releases a message of its own.
    pub(super) fn acknowledged(&mut self, ack: Ack) -> Result<(), End> {
        let session = Arc::clone(&self.session);
        let Some(mut state) = session.of(self.number) else {
            return Ok(());
        };
        let done = match ack.kind {
            AckKind::Acknowledge => state.inflight.acknowledged(ack.id),
            AckKind::Complete => state.inflight.completed(ack.id),
            AckKind::Receive if ack.reason >= 0x80 => state.inflight.refused(ack.id),
            AckKind::Receive => {
                let received = state.inflight.received(ack.id);
                drop(state);
                self.received(ack.id, &received);
                return Ok(());
            }
            AckKind::Release => {
                let held = state.held.remove(&ack.id);
                drop(state);
                return self.released(ack.id, held);
            }
        };
        drop(state);
        if let Some(number) = done {
            self.wake.notify_one();
            if session.lasting {
                self.changes.push(Entry::Done {
                    session: session.number,
                    number,
                });
            }
        }
        Ok(())
    }

    /// A PUBREC: answered with PUBREL once it is durable that the client has the message.
    fn received(&mut self, id: u16, received: &Received) {
        let reason = if *received == Received::Unknown {
            NOT_FOUND
        } else {
            0
        };
        if let Received::First(number) = *received
            && self.session.lasting
        {
            self.changes.push(Entry::Released {
                session: self.session.number,
                number,
            });
        }
        let sequence = self.settled();
        self.answer(AckKind::Release, id, reason, sequence);
    }

    /// A PUBREL: answered with PUBCOMP once it is durable that the packet id is free.
    fn released(&mut self, id: u16, held: Option<Held>) -> Result<(), End> {
        let reason = match held {
            Some(Held::Owned) => 0,
            None => NOT_FOUND,
            Some(Held::Pending(_)) => return Err(self.violation("a PUBREL before its PUBREC")),
        };
        // What an earlier connection has taken is not owed by this one.
        if self.twos.remove(&id) {
            self.debt.settle(1);
        }
        if held.is_some() && self.session.lasting {
            self.changes.push(Entry::Free {
                session: self.session.number,
                id,
            });
        }
        let sequence = self.settled();
        self.answer(AckKind::Complete, id, reason, sequence);
        Ok(())
    }
}

/// What is known of a packet id at QoS 2.
enum Hold {
    New,
    /// An earlier connection has handed the message to the log.
    Again,
    /// This connection has, or it is not the session's any more.
    Here,
    /// The message is taken.
    Owned,
}
