//! CONNECT and CONNACK of both versions.

use bytes::{Bytes, BytesMut};
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3;
use rmqtt_codec::v5::{self, ConnectAckReason as Code};
use tokio_util::codec::{Decoder, Encoder};

use super::v5::{check_text, check_user};
use super::{Fault, Reason, frame};
use crate::topic;

/// A CONNECT.
#[derive(Debug)]
pub(in crate::source::broker) struct Connect {
    pub(in crate::source::broker) is_v5: bool,
    /// Empty when the client leaves the choice to the broker.
    pub(in crate::source::broker) client_id: String,
    pub(in crate::source::broker) clean: bool,
    /// Seconds; 0 for none.
    pub(in crate::source::broker) keep_alive: u16,
    /// Seconds the session is to outlive the connection.
    pub(in crate::source::broker) expiry: u32,
    pub(in crate::source::broker) user: Option<String>,
    pub(in crate::source::broker) password: Option<Bytes>,
    pub(in crate::source::broker) will: Option<LastWill>,
    /// Deliveries it takes unacknowledged.
    pub(in crate::source::broker) receive_maximum: Option<u16>,
    /// The largest packet it takes.
    pub(in crate::source::broker) most_packet: Option<u32>,
    pub(in crate::source::broker) wants_response_info: bool,
    pub(in crate::source::broker) has_auth_method: bool,
}

/// A will as it came.
#[derive(Debug)]
pub(in crate::source::broker) struct LastWill {
    pub(in crate::source::broker) publish: Publish,
    /// Seconds.
    pub(in crate::source::broker) delay: u32,
}

/// Why a client does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source::broker) struct Refusal {
    pub(in crate::source::broker) code: Code,
    pub(in crate::source::broker) why: String,
    /// The largest packet the client takes, as far as it has said.
    pub(in crate::source::broker) most_packet: u32,
}

impl Refusal {
    pub(in crate::source::broker) fn new(code: Code, why: impl Into<String>) -> Self {
        Self {
            code,
            why: why.into(),
            most_packet: u32::MAX,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let code = match fault.reason {
            Reason::PacketTooLarge => Code::PacketTooLarge,
            Reason::ProtocolError => Code::ProtocolError,
            _ => Code::MalformedPacket,
        };
        Self::new(code, fault.what)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::InvalidClientId => Self::new(
                Code::ClientIdentifierNotValid,
                "a session to keep needs a client id",
            ),
            error => Fault::from(error).into(),
        }
    }
}

/// Reads the CONNECT at the beginning of `buffer`, if it is whole.
pub(in crate::source::broker) fn connect(
    buffer: &mut BytesMut,
    is_v5: bool,
    most: u32,
) -> Result<Option<Connect>, Refusal> {
    if !frame::check(buffer, is_v5, most)? {
        return Ok(None);
    }
    let connect = if is_v5 {
        match v5::Codec::new(0, 0).decode(buffer)? {
            Some((v5::Packet::Connect(connect), _)) => from_v5(*connect)?,
            _ => return Ok(None),
        }
    } else {
        match v3::Codec::new(0).decode(buffer)? {
            Some((v3::Packet::Connect(connect), _)) => from_v3(*connect),
            _ => return Ok(None),
        }
    };
    check_text(&connect.client_id)?;
    check_text(connect.user.as_deref().unwrap_or_default())?;
    if let Some(will) = &connect.will
        && !topic::is_topic_name(&will.publish.topic)
    {
        let code = Code::TopicNameInvalid;
        return Err(Refusal::new(code, "the will's topic is no topic name"));
    }
    Ok(Some(connect))
}

fn from_v3(connect: v3::Connect) -> Connect {
    Connect {
        is_v5: false,
        client_id: connect.client_id.to_string(),
        clean: connect.clean_session,
        keep_alive: connect.keep_alive,
        expiry: if connect.clean_session { 0 } else { u32::MAX },
        user: connect.username.map(|user| user.to_string()),
        password: connect.password,
        will: connect.last_will.map(|will| LastWill {
            publish: publish(will.qos, will.retain, &will.topic, will.message),
            delay: 0,
        }),
        receive_maximum: None,
        most_packet: None,
        wants_response_info: false,
        has_auth_method: false,
    }
}

fn from_v5(connect: v5::Connect) -> Result<Connect, Refusal> {
    check_user(&connect.user_properties)?;
    if connect.auth_data.is_some() && connect.auth_method.is_none() {
        return Err(Fault::protocol("authentication data without a method").into());
    }
    Ok(Connect {
        is_v5: true,
        client_id: connect.client_id.to_string(),
        clean: connect.clean_start,
        keep_alive: connect.keep_alive,
        expiry: connect.session_expiry_interval_secs,
        user: connect.username.map(|user| user.to_string()),
        password: connect.password,
        will: connect.last_will.map(will_from_v5).transpose()?,
        receive_maximum: connect.receive_max.map(std::num::NonZeroU16::get),
        most_packet: connect.max_packet_size.map(std::num::NonZeroU32::get),
        wants_response_info: connect.request_response_info,
        has_auth_method: connect.auth_method.is_some(),
    })
}

fn will_from_v5(will: v5::LastWill) -> Result<LastWill, Refusal> {
    check_user(&will.user_properties)?;
    check_text(will.content_type.as_deref().unwrap_or_default())?;
    if let Some(response) = &will.response_topic
        && !topic::is_topic_name(response)
    {
        return Err(Fault::protocol("a response topic that is no topic name").into());
    }
    let is_utf8_payload = will.is_utf8_payload == Some(true);
    if is_utf8_payload && std::str::from_utf8(&will.message).is_err() {
        let code = Code::PayloadFormatInvalid;
        return Err(Refusal::new(
            code,
            "the will says that it is a text and is none",
        ));
    }
    let mut publish = publish(will.qos, will.retain, &will.topic, will.message);
    publish.properties = Some(v5::PublishProperties {
        correlation_data: will.correlation_data,
        message_expiry_interval: will.message_expiry_interval,
        content_type: will.content_type,
        user_properties: will.user_properties,
        is_utf8_payload,
        response_topic: will.response_topic,
        ..v5::PublishProperties::default()
    });
    Ok(LastWill {
        publish,
        delay: will.will_delay_interval_sec.unwrap_or(0),
    })
}

fn publish(qos: QoS, retain: bool, topic: &str, payload: Bytes) -> Publish {
    Publish {
        dup: false,
        retain,
        qos,
        topic: topic.into(),
        packet_id: None,
        payload,
        properties: None,
    }
}

/// The CONNACK of MQTT 5 for a client that takes packets of `most` bytes.
pub(in crate::source::broker) fn accepted_v5(ack: v5::ConnectAck) -> BytesMut {
    let mut out = BytesMut::new();
    // An answer of a few short properties has no size that could be wrong.
    let _ = v5::Codec::new(0, 0).encode(ack.into(), &mut out);
    out
}

/// The CONNACK of MQTT 3.1.1.
pub(in crate::source::broker) fn accepted_v3(session_present: bool) -> BytesMut {
    BytesMut::from(&[0x20, 2, u8::from(session_present), 0][..])
}

/// The CONNACK that refuses a client; empty where MQTT 3.1.1 has no word for it, and the connection
/// is closed without [MQTT-3.2.2-6 of 3.1.1].
pub(in crate::source::broker) fn refused(refusal: &Refusal, is_v5: bool) -> BytesMut {
    if is_v5 {
        let mut ack = v5::ConnectAck {
            reason_code: refusal.code,
            reason_string: Some(refusal.why.as_str().into()),
            ..v5::ConnectAck::default()
        };
        let answer = accepted_v5(ack.clone());
        if answer.len() <= refusal.most_packet as usize {
            return answer;
        }
        ack.reason_string = None;
        return accepted_v5(ack);
    }
    let code = match refusal.code {
        Code::UnsupportedProtocolVersion => 1,
        Code::ClientIdentifierNotValid => 2,
        Code::ServerUnavailable | Code::ServerBusy | Code::QuotaExceeded => 3,
        Code::BadUserNameOrPassword => 4,
        Code::NotAuthorized => 5,
        _ => return BytesMut::new(),
    };
    BytesMut::from(&[0x20, 2, 0, code][..])
}
