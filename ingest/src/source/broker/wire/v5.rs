//! MQTT 5 packets to and from the broker's.

use std::num::NonZeroU16;

use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{self, DisconnectReasonCode as Reason, Packet, UserProperties};

use super::{Ack, AckKind, Fault, Incoming, Outgoing};
use crate::topic;

pub(super) fn incoming(packet: Packet) -> Result<Incoming, Fault> {
    Ok(match packet {
        Packet::Publish(publish) => {
            check_publish(&publish)?;
            Incoming::Publish(publish)
        }
        Packet::PublishAck(ack) => {
            acknowledged(AckKind::Acknowledge, ack.packet_id, ack.reason_code.into())
        }
        Packet::PublishReceived(ack) => {
            acknowledged(AckKind::Receive, ack.packet_id, ack.reason_code.into())
        }
        Packet::PublishRelease(ack) => {
            acknowledged(AckKind::Release, ack.packet_id, ack.reason_code.into())
        }
        Packet::PublishComplete(ack) => {
            acknowledged(AckKind::Complete, ack.packet_id, ack.reason_code.into())
        }
        Packet::Subscribe(subscribe) => {
            check_user(&subscribe.user_properties)?;
            Incoming::Subscribe {
                id: subscribe.packet_id,
                identifier: subscribe.id,
                filters: subscribe
                    .topic_filters
                    .into_iter()
                    .map(|(filter, options)| (filter.to_string(), options))
                    .collect(),
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            check_user(&unsubscribe.user_properties)?;
            Incoming::Unsubscribe {
                id: unsubscribe.packet_id,
                filters: unsubscribe
                    .topic_filters
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            }
        }
        Packet::PingRequest => Incoming::Ping,
        Packet::Disconnect(goodbye) => {
            check_user(&goodbye.user_properties)?;
            if goodbye.server_reference.is_some() {
                return Err(Fault::protocol(
                    "a DISCONNECT from a client with a server reference",
                ));
            }
            Incoming::Disconnect {
                will: goodbye.reason_code != Reason::NormalDisconnection,
                expiry: goodbye.session_expiry_interval_secs,
            }
        }
        Packet::Connect(_) => Incoming::Unexpected("CONNECT"),
        Packet::Auth(_) => Incoming::Unexpected("AUTH"),
        _ => Incoming::Unexpected("a packet clients do not send"),
    })
}

fn acknowledged(kind: AckKind, id: NonZeroU16, reason: u8) -> Incoming {
    Incoming::Ack(Ack {
        kind,
        id: id.get(),
        reason,
    })
}

fn check_publish(publish: &Publish) -> Result<(), Fault> {
    let Some(properties) = &publish.properties else {
        return Ok(());
    };
    if !properties.subscription_ids.is_empty() {
        return Err(Fault::protocol(
            "a PUBLISH from a client with a subscription identifier",
        ));
    }
    if let Some(response) = &properties.response_topic
        && !topic::is_topic_name(response)
    {
        return Err(Fault::protocol("a response topic that is no topic name"));
    }
    if let Some(content) = &properties.content_type {
        check_text(content)?;
    }
    check_user(&properties.user_properties)
}

/// A text must not hold the null character [MQTT-1.5.4-2].
pub(super) fn check_text(text: &str) -> Result<(), Fault> {
    if text.contains('\0') {
        return Err(Fault::malformed("a text with a null character"));
    }
    Ok(())
}

/// Both parts of a user property are texts [MQTT-1.5.7-1].
pub(super) fn check_user(properties: &UserProperties) -> Result<(), Fault> {
    for (key, value) in properties {
        check_text(key)?;
        check_text(value)?;
    }
    Ok(())
}

pub(super) fn outgoing(packet: Outgoing) -> Option<Packet> {
    Some(match packet {
        Outgoing::Publish(publish) => Packet::Publish(publish),
        Outgoing::SubscribeAck { id, status } => Packet::SubscribeAck(v5::SubscribeAck {
            packet_id: id,
            properties: Vec::new(),
            reason_string: None,
            status,
        }),
        Outgoing::UnsubscribeAck { id, status } => Packet::UnsubscribeAck(v5::UnsubscribeAck {
            packet_id: id,
            properties: Vec::new(),
            reason_string: None,
            status,
        }),
        Outgoing::Pong => Packet::PingResponse,
        Outgoing::Disconnect(reason) => Packet::Disconnect(v5::Disconnect::new(reason)),
        Outgoing::Ack(_) => return None,
    })
}
