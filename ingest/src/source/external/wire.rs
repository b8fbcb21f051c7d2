//! The packets of a subscriber in MQTT 5 and 3.1.1: one shape for both.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::BytesMut;
use catalog::{Error, Result};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{RetainHandling, SubscribeAckReason, SubscriptionOptions};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

/// The largest packet MQTT has; anything the broker takes can be read, large ones become dead letters.
pub(super) const MAX_PACKET: u32 = 268_435_460;
/// How long the broker keeps the session of an absent ingester: a week.
const SESSION_EXPIRY_SECS: u32 = 7 * 24 * 3600;
/// Seconds of silence after which the broker takes this client for dead.
pub(super) const KEEP_ALIVE: u16 = 60;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// MQTT 3.1.1.
    Three,
    /// MQTT 5.
    Five,
}

/// Who connects.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) client_id: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) receive_maximum: u16,
}

/// A packet from the broker.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The answer to the CONNECT.
    Welcome(Welcome),
    Publish(Box<Publish>),
    /// The answer to a SUBSCRIBE, with what it says of a filter that is refused.
    Subscribed {
        id: u16,
        refused: Option<String>,
    },
    Unsubscribed {
        id: u16,
    },
    Pong,
    /// The broker ends the connection, for this reason.
    Goodbye(String),
    Unexpected,
}

/// What a CONNACK says.
#[derive(Debug, Default)]
pub(super) struct Welcome {
    pub(super) session_present: bool,
    /// None: welcome.
    pub(super) refused: Option<Refusal>,
    /// The keep-alive the broker wants instead, in seconds.
    pub(super) keep_alive: Option<u16>,
    /// It does not share subscriptions.
    pub(super) unshared: bool,
}

/// Why a broker lets nobody in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not speak this version.
    Version,
    Other(String),
}

/// The codec of one connection.
pub(super) enum Wire {
    Three(v3::Codec),
    Five(v5::Codec),
}

impl Wire {
    pub(super) fn new(version: Version) -> Self {
        match version {
            Version::Three => Self::Three(v3::Codec::new(MAX_PACKET)),
            Version::Five => Self::Five(v5::Codec::new(MAX_PACKET, 0)),
        }
    }

    /// The next packet in `buffer`, if it is whole.
    ///
    /// # Errors
    /// `Unavailable` for what is not MQTT.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>> {
        let packet = match self {
            Self::Three(codec) => codec.decode(buffer).map(|it| it.map(|p| from_three(p.0))),
            Self::Five(codec) => codec.decode(buffer).map(|it| it.map(|p| from_five(p.0))),
        };
        packet.map_err(|e| Error::unavailable(format!("MQTT broker: a malformed packet: {e}")))
    }

    /// The CONNECT of a session that outlives the connection.
    pub(super) fn connect(&mut self, login: &Login, out: &mut BytesMut) -> Result<()> {
        let username = login.username.as_deref().map(Into::into);
        let password = login.password.clone().map(Into::into);
        let client_id = login.client_id.as_str().into();
        match self {
            Self::Three(codec) => {
                let connect = v3::Connect {
                    clean_session: false,
                    keep_alive: KEEP_ALIVE,
                    client_id,
                    username,
                    password,
                    ..v3::Connect::default()
                };
                written(codec.encode(connect.into(), out))
            }
            Self::Five(codec) => {
                // No alias is allowed for: a topic is always there in full.
                let connect = v5::Connect {
                    clean_start: false,
                    keep_alive: KEEP_ALIVE,
                    session_expiry_interval_secs: SESSION_EXPIRY_SECS,
                    receive_max: NonZeroU16::new(login.receive_maximum),
                    max_packet_size: NonZeroU32::new(MAX_PACKET),
                    topic_alias_max: 0,
                    client_id,
                    username,
                    password,
                    ..v5::Connect::default()
                };
                written(codec.encode(connect.into(), out))
            }
        }
    }

    /// A SUBSCRIBE at QoS 1.
    pub(super) fn subscribe(
        &mut self,
        packet_id: NonZeroU16,
        filters: &[String],
        out: &mut BytesMut,
    ) -> Result<()> {
        let filters = filters.iter().map(|filter| filter.as_str().into());
        match self {
            Self::Three(codec) => {
                let topic_filters = filters.map(|f| (f, QoS::AtLeastOnce)).collect();
                let packet = v3::Packet::Subscribe {
                    packet_id,
                    topic_filters,
                };
                written(codec.encode(packet, out))
            }
            Self::Five(codec) => {
                let options = SubscriptionOptions {
                    qos: QoS::AtLeastOnce,
                    // A retained message is an old one: sent again with every new session, it would
                    // double.
                    retain_handling: RetainHandling::NoAtSubscribe,
                    ..SubscriptionOptions::default()
                };
                let packet = v5::Subscribe {
                    packet_id,
                    id: None,
                    user_properties: Vec::new(),
                    topic_filters: filters.map(|f| (f, options)).collect(),
                };
                written(codec.encode(v5::Packet::Subscribe(packet), out))
            }
        }
    }

    /// An UNSUBSCRIBE.
    pub(super) fn unsubscribe(
        &mut self,
        packet_id: NonZeroU16,
        filters: &[String],
        out: &mut BytesMut,
    ) -> Result<()> {
        let topic_filters = filters.iter().map(|f| f.as_str().into()).collect();
        match self {
            Self::Three(codec) => {
                let packet = v3::Packet::Unsubscribe {
                    packet_id,
                    topic_filters,
                };
                written(codec.encode(packet, out))
            }
            Self::Five(codec) => {
                let packet = v5::Unsubscribe {
                    packet_id,
                    user_properties: Vec::new(),
                    topic_filters,
                };
                written(codec.encode(v5::Packet::Unsubscribe(packet), out))
            }
        }
    }

    /// Whether the message was kept from before the subscription. MQTT 3.1.1 sends such messages at
    /// every SUBSCRIBE; MQTT 5 has been asked not to, and flags those of today as they were sent.
    pub(super) fn is_old(&self, publish: &Publish) -> bool {
        matches!(self, Self::Three(_)) && publish.retain
    }
}

/// The refusal in the CONNACK of MQTT 3.1.1, which also a client of MQTT 5 may be sent; none when
/// `buffer` does not begin with one.
pub(super) fn refused_by_three(buffer: &[u8]) -> Option<Refusal> {
    match *buffer {
        [0x20, 2, _, 1, ..] => Some(Refusal::Version),
        [0x20, 2, _, code, ..] if code > 1 => Some(Refusal::Other(format!("code {code}"))),
        _ => None,
    }
}

fn from_three(packet: v3::Packet) -> Incoming {
    use v3::{ConnectAckReason, Packet, SubscribeReturnCode};
    match packet {
        Packet::Publish(publish) => Incoming::Publish(publish),
        Packet::ConnectAck(ack) => Incoming::Welcome(Welcome {
            session_present: ack.session_present,
            refused: match ack.return_code {
                ConnectAckReason::ConnectionAccepted => None,
                ConnectAckReason::UnacceptableProtocolVersion => Some(Refusal::Version),
                code => Some(Refusal::Other(code.reason().to_owned())),
            },
            ..Welcome::default()
        }),
        Packet::SubscribeAck { packet_id, status } => Incoming::Subscribed {
            id: packet_id.get(),
            refused: status
                .contains(&SubscribeReturnCode::Failure)
                .then(|| "it does not say why".to_owned()),
        },
        Packet::UnsubscribeAck { packet_id } => Incoming::Unsubscribed {
            id: packet_id.get(),
        },
        Packet::PingResponse => Incoming::Pong,
        _ => Incoming::Unexpected,
    }
}

fn from_five(packet: v5::Packet) -> Incoming {
    use v5::{ConnectAckReason, Packet};
    match packet {
        Packet::Publish(publish) => Incoming::Publish(publish),
        Packet::ConnectAck(ack) => Incoming::Welcome(Welcome {
            session_present: ack.session_present,
            refused: match ack.reason_code {
                ConnectAckReason::Success => None,
                ConnectAckReason::UnsupportedProtocolVersion => Some(Refusal::Version),
                code => Some(Refusal::Other(said(format!("{code:?}"), ack.reason_string))),
            },
            keep_alive: ack.server_keepalive_sec,
            unshared: !ack.shared_subscription_available,
        }),
        Packet::SubscribeAck(ack) => {
            let bad = ack.status.iter().find(|code| {
                let granted = [
                    SubscribeAckReason::GrantedQos0,
                    SubscribeAckReason::GrantedQos1,
                    SubscribeAckReason::GrantedQos2,
                ];
                !granted.contains(code)
            });
            Incoming::Subscribed {
                id: ack.packet_id.get(),
                refused: bad.map(|code| said(format!("{code:?}"), ack.reason_string)),
            }
        }
        Packet::UnsubscribeAck(ack) => Incoming::Unsubscribed {
            id: ack.packet_id.get(),
        },
        Packet::PingResponse => Incoming::Pong,
        Packet::Disconnect(goodbye) => {
            let reason = format!("{:?}", goodbye.reason_code);
            Incoming::Goodbye(said(reason, goodbye.reason_string))
        }
        _ => Incoming::Unexpected,
    }
}

/// A reason and the broker's own words for it.
fn said(reason: String, words: Option<impl AsRef<str>>) -> String {
    match words {
        Some(words) => format!("{reason}: {}", words.as_ref()),
        None => reason,
    }
}

fn written(outcome: std::result::Result<(), impl std::fmt::Debug>) -> Result<()> {
    outcome.map_err(|e| {
        Error::invalid(format!(
            "a packet to the MQTT broker cannot be written: {e:?}"
        ))
        .with_hint("shorten the user name, password, client id or topic filters")
    })
}
