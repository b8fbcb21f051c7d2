//! MQTT 3.1.1 packets to and from the broker's.

use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{Packet, SubscribeReturnCode};
use rmqtt_codec::v5::{SubscribeAckReason, SubscriptionOptions};

use super::{Ack, AckKind, Fault, Incoming, Outgoing};

pub(super) fn incoming(packet: Packet) -> Result<Incoming, Fault> {
    let ack = |kind, id: std::num::NonZeroU16| Incoming::Ack(Ack::ok(kind, id.get()));
    Ok(match packet {
        Packet::Publish(publish) => Incoming::Publish(publish),
        Packet::PublishAck { packet_id } => ack(AckKind::Acknowledge, packet_id),
        Packet::PublishReceived { packet_id } => ack(AckKind::Receive, packet_id),
        Packet::PublishRelease { packet_id } => ack(AckKind::Release, packet_id),
        Packet::PublishComplete { packet_id } => ack(AckKind::Complete, packet_id),
        Packet::Subscribe {
            packet_id,
            topic_filters,
        } => Incoming::Subscribe {
            id: packet_id,
            filters: topic_filters
                .into_iter()
                .map(|(filter, qos)| {
                    let options = SubscriptionOptions {
                        qos,
                        ..SubscriptionOptions::default()
                    };
                    (filter.to_string(), options)
                })
                .collect(),
            identifier: None,
        },
        Packet::Unsubscribe {
            packet_id,
            topic_filters,
        } => Incoming::Unsubscribe {
            id: packet_id,
            filters: topic_filters.iter().map(ToString::to_string).collect(),
        },
        Packet::PingRequest => Incoming::Ping,
        Packet::Disconnect => Incoming::Disconnect {
            will: false,
            expiry: None,
        },
        Packet::Connect(_) => Incoming::Unexpected("CONNECT"),
        _ => Incoming::Unexpected("a packet clients do not send"),
    })
}

pub(super) fn outgoing(packet: Outgoing) -> Option<Packet> {
    Some(match packet {
        Outgoing::Publish(publish) => Packet::Publish(publish),
        Outgoing::SubscribeAck { id, status } => Packet::SubscribeAck {
            packet_id: id,
            status: status.into_iter().map(return_code).collect(),
        },
        Outgoing::UnsubscribeAck { id, .. } => Packet::UnsubscribeAck { packet_id: id },
        Outgoing::Pong => Packet::PingResponse,
        Outgoing::Ack(_) | Outgoing::Disconnect(_) => return None,
    })
}

fn return_code(reason: SubscribeAckReason) -> SubscribeReturnCode {
    match reason {
        SubscribeAckReason::GrantedQos0 => SubscribeReturnCode::Success(QoS::AtMostOnce),
        SubscribeAckReason::GrantedQos1 => SubscribeReturnCode::Success(QoS::AtLeastOnce),
        SubscribeAckReason::GrantedQos2 => SubscribeReturnCode::Success(QoS::ExactlyOnce),
        _ => SubscribeReturnCode::Failure,
    }
}
