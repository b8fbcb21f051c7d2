//! MQTT 3.1.1 and 5 packets as the broker handles them: one shape for both versions.

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    DisconnectReasonCode, SubscribeAckReason, SubscriptionOptions, UnsubscribeAckReason,
};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

/// A topic filter with what its subscriber wants.
pub(super) type FilterOptions = (String, SubscriptionOptions);

/// A packet from a client after its CONNECT.
#[derive(Debug)]
pub(super) enum Incoming {
    Publish(Box<Publish>),
    /// The client has a message delivered at QoS 1.
    PublishAck(u16),
    Subscribe {
        id: NonZeroU16,
        filters: Vec<FilterOptions>,
        /// It carries a subscription identifier.
        identified: bool,
    },
    Unsubscribe {
        id: NonZeroU16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
    /// A packet a client may not send, or not now.
    Unexpected(&'static str),
}

/// A packet to a client after the CONNACK.
#[derive(Debug)]
pub(super) enum Outgoing {
    Publish(Box<Publish>),
    SubscribeAck {
        id: NonZeroU16,
        status: Vec<SubscribeAckReason>,
    },
    UnsubscribeAck {
        id: NonZeroU16,
        status: Vec<UnsubscribeAckReason>,
    },
    Pong,
    /// Goodbye with a reason; MQTT 3.1.1 has no such packet from a server.
    Disconnect(DisconnectReasonCode),
}

/// The codec of one connection and direction.
#[derive(Debug)]
pub(super) enum Wire {
    V3(v3::Codec),
    V5(v5::Codec),
}

impl Wire {
    /// The next packet in `buffer`, if it is whole.
    pub(super) fn decode(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<Incoming>, DecodeError> {
        Ok(match self {
            Self::V3(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v3(packet)),
            Self::V5(codec) => codec.decode(buffer)?.map(|(packet, _)| from_v5(packet)),
        })
    }

    /// Appends a packet to `buffer`.
    pub(super) fn encode(
        &mut self,
        packet: Outgoing,
        buffer: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Self::V3(codec) => match to_v3(packet) {
                Some(packet) => codec.encode(packet, buffer),
                None => Ok(()),
            },
            Self::V5(codec) => codec.encode(to_v5(packet), buffer),
        }
    }
}

/// Appends a PUBACK, which in both versions is these four bytes when all is well.
pub(super) fn encode_ack(packet_id: u16, buffer: &mut BytesMut) {
    buffer.put_slice(&[0x40, 2]);
    buffer.put_u16(packet_id);
}

fn from_v3(packet: v3::Packet) -> Incoming {
    use v3::Packet;
    match packet {
        Packet::Publish(publish) => Incoming::Publish(publish),
        Packet::PublishAck { packet_id } => Incoming::PublishAck(packet_id.get()),
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
            identified: false,
        },
        Packet::Unsubscribe {
            packet_id,
            topic_filters,
        } => Incoming::Unsubscribe {
            id: packet_id,
            filters: topic_filters.iter().map(ToString::to_string).collect(),
        },
        Packet::PingRequest => Incoming::Ping,
        Packet::Disconnect => Incoming::Disconnect,
        Packet::Connect(_) => Incoming::Unexpected("CONNECT"),
        _ => Incoming::Unexpected("a packet clients do not send"),
    }
}

fn from_v5(packet: v5::Packet) -> Incoming {
    use v5::Packet;
    match packet {
        Packet::Publish(publish) => Incoming::Publish(publish),
        Packet::PublishAck(ack) => Incoming::PublishAck(ack.packet_id.get()),
        Packet::Subscribe(subscribe) => Incoming::Subscribe {
            id: subscribe.packet_id,
            filters: subscribe
                .topic_filters
                .into_iter()
                .map(|(filter, options)| (filter.to_string(), options))
                .collect(),
            identified: subscribe.id.is_some(),
        },
        Packet::Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
            id: unsubscribe.packet_id,
            filters: unsubscribe
                .topic_filters
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        Packet::PingRequest => Incoming::Ping,
        Packet::Disconnect(_) => Incoming::Disconnect,
        Packet::Connect(_) => Incoming::Unexpected("CONNECT"),
        _ => Incoming::Unexpected("a packet clients do not send"),
    }
}

fn to_v3(packet: Outgoing) -> Option<v3::Packet> {
    Some(match packet {
        Outgoing::Publish(publish) => v3::Packet::Publish(publish),
        Outgoing::SubscribeAck { id, status } => v3::Packet::SubscribeAck {
            packet_id: id,
            status: status
                .into_iter()
                .map(|code| match code {
                    SubscribeAckReason::GrantedQos0 => {
                        v3::SubscribeReturnCode::Success(QoS::AtMostOnce)
                    }
                    SubscribeAckReason::GrantedQos1 => {
                        v3::SubscribeReturnCode::Success(QoS::AtLeastOnce)
                    }
                    _ => v3::SubscribeReturnCode::Failure,
                })
                .collect(),
        },
        Outgoing::UnsubscribeAck { id, .. } => v3::Packet::UnsubscribeAck { packet_id: id },
        Outgoing::Pong => v3::Packet::PingResponse,
        Outgoing::Disconnect(_) => return None,
    })
}

fn to_v5(packet: Outgoing) -> v5::Packet {
    match packet {
        Outgoing::Publish(publish) => v5::Packet::Publish(publish),
        Outgoing::SubscribeAck { id, status } => v5::Packet::SubscribeAck(v5::SubscribeAck {
            packet_id: id,
            properties: Vec::new(),
            reason_string: None,
            status,
        }),
        Outgoing::UnsubscribeAck { id, status } => v5::Packet::UnsubscribeAck(v5::UnsubscribeAck {
            packet_id: id,
            properties: Vec::new(),
            reason_string: None,
            status,
        }),
        Outgoing::Pong => v5::Packet::PingResponse,
        Outgoing::Disconnect(reason_code) => v5::Packet::Disconnect(v5::Disconnect {
            reason_code,
            ..v5::Disconnect::default()
        }),
    }
}
