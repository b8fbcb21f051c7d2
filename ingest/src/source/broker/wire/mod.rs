//! MQTT 3.1.1 and 5 packets as the broker handles them: one shape for both versions.
//!
//! This is the only place that knows the codec. What the codec lets pass and the specification does
//! not is caught by [`frame`] before it and by [`v3`] and [`v5`] after it.

mod connect;
mod frame;
#[cfg(test)]
mod tests;
mod v3;
mod v5;

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, BytesMut};
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::Publish;
use rmqtt_codec::v5::{
    DisconnectReasonCode as Reason, SubscribeAckReason, SubscriptionOptions, UnsubscribeAckReason,
};
use tokio_util::codec::{Decoder, Encoder};

pub(super) use connect::{Connect, Refusal, accepted_v3, accepted_v5, connect, refused};
pub(super) use frame::{Opening, opening};

/// A topic filter with what its subscriber wants.
pub(super) type FilterOptions = (String, SubscriptionOptions);

/// A packet from a client after its CONNECT.
#[derive(Debug)]
pub(super) enum Incoming {
    Publish(Box<Publish>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Subscribe {
        id: NonZeroU16,
        filters: Vec<FilterOptions>,
        /// The subscription identifier.
        identifier: Option<NonZeroU32>,
    },
    Unsubscribe {
        id: NonZeroU16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect {
        /// The will is to be published all the same.
        will: bool,
        /// A new expiry of the session, in seconds.
        expiry: Option<u32>,
    },
    /// A packet that a client may not send, or not now.
    Unexpected(&'static str),
}

/// One of the four acknowledgements of a PUBLISH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) kind: AckKind,
    pub(super) id: u16,
    /// 0 for success; from 128 on the message is refused. MQTT 3.1.1 does not carry it.
    pub(super) reason: u8,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, as the first byte of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum AckKind {
    Acknowledge = 0x40,
    Receive = 0x50,
    Release = 0x62,
    Complete = 0x70,
}

/// A packet to a client after the CONNACK.
#[derive(Debug)]
pub(super) enum Outgoing {
    Publish(Box<Publish>),
    Ack(Ack),
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
    Disconnect(Reason),
}

/// Why a packet cannot be read: the reason to tell, and words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) what: String,
}

/// A packet does not fit into what the client takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The codec of one connection and direction.
#[derive(Debug)]
pub(super) struct Wire {
    codec: Codec,
    /// The largest packet, in bytes, its first ones included.
    most: u32,
}

#[derive(Debug)]
enum Codec {
    V3(rmqtt_codec::v3::Codec),
    V5(rmqtt_codec::v5::Codec),
}

impl Ack {
    pub(super) fn ok(kind: AckKind, id: u16) -> Self {
        Self {
            kind,
            id,
            reason: 0,
        }
    }
}

impl Fault {
    pub(super) fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
        }
    }

    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::new(Reason::MalformedPacket, what)
    }

    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self::new(Reason::ProtocolError, what)
    }
}

impl From<DecodeError> for Fault {
    /// The codec's own mapping to reasons is not the specification's: what cannot be parsed is a
    /// malformed packet, whatever it is.
    fn from(error: DecodeError) -> Self {
        let reason = match error {
            DecodeError::MaxSizeExceeded { .. } => Reason::PacketTooLarge,
            // An empty list of filters.
            DecodeError::InvalidTopicFilter => Reason::ProtocolError,
            _ => Reason::MalformedPacket,
        };
        Self::new(reason, error.to_string())
    }
}

impl Wire {
    /// For packets of at most so many bytes.
    pub(super) fn new(is_v5: bool, most: u32) -> Self {
        // Sizes are checked here: the codec counts without the first bytes in one direction, and
        // with too many in the other.
        let codec = if is_v5 {
            Codec::V5(rmqtt_codec::v5::Codec::new(0, 0))
        } else {
            Codec::V3(rmqtt_codec::v3::Codec::new(0))
        };
        Self { codec, most }
    }

    pub(super) fn is_v5(&self) -> bool {
        matches!(self.codec, Codec::V5(_))
    }

    /// The next packet in `buffer`, if it is whole.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Fault> {
        if !frame::check(buffer, self.is_v5(), self.most)? {
            return Ok(None);
        }
        match &mut self.codec {
            Codec::V3(codec) => match codec.decode(buffer)? {
                Some((packet, _)) => v3::incoming(packet).map(Some),
                None => Ok(None),
            },
            Codec::V5(codec) => match codec.decode(buffer)? {
                Some((packet, _)) => v5::incoming(packet).map(Some),
                None => Ok(None),
            },
        }
    }

    /// Appends a packet to `buffer`, or nothing when it does not fit.
    pub(super) fn encode(
        &mut self,
        packet: Outgoing,
        buffer: &mut BytesMut,
    ) -> Result<(), TooLarge> {
        let before = buffer.len();
        let encoded = match (packet, &mut self.codec) {
            (Outgoing::Ack(ack), codec) => {
                encode_ack(ack, matches!(codec, Codec::V5(_)), buffer);
                true
            }
            (Outgoing::Disconnect(_), Codec::V3(_)) => true,
            (packet, Codec::V3(codec)) => match v3::outgoing(packet) {
                Some(packet) => codec.encode(packet, buffer).is_ok(),
                None => true,
            },
            (packet, Codec::V5(codec)) => match v5::outgoing(packet) {
                Some(packet) => codec.encode(packet, buffer).is_ok(),
                None => true,
            },
        };
        if encoded && buffer.len() - before <= self.most as usize {
            return Ok(());
        }
        buffer.truncate(before);
        Err(TooLarge)
    }
}

/// Appends an acknowledgement, which in both versions is four bytes when all is well.
pub(super) fn encode_ack(ack: Ack, is_v5: bool, buffer: &mut BytesMut) {
    if is_v5 && ack.reason != 0 {
        buffer.put_slice(&[ack.kind as u8, 3]);
        buffer.put_u16(ack.id);
        buffer.put_u8(ack.reason);
    } else {
        buffer.put_slice(&[ack.kind as u8, 2]);
        buffer.put_u16(ack.id);
    }
}
