//! The first packet of a connection: which MQTT it speaks, who it is, and whether it may stay.

use std::num::NonZeroU16;

use bytes::BytesMut;
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::ToReasonCode;
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{Decoder, Encoder};
use uuid::Uuid;

use super::Hub;
use super::auth::{Credentials, Peer, Rights, Verdict};
use super::limits::MOST_CONNECT_BYTES;
use super::wire::Wire;

/// Messages a client may have unacknowledged; told to MQTT 5 clients.
const RECEIVE_MAXIMUM: u16 = 8_192;
/// Messages under way to a client that does not say how many it takes.
const DELIVERY_WINDOW: u16 = 1_024;

/// A client that has been let in.
pub(super) struct Client {
    pub(super) id: String,
    /// Seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// QoS 1 deliveries it takes unacknowledged.
    pub(super) receive_maximum: u16,
    /// For packets from it, and for packets to it.
    pub(super) wires: (Wire, Wire),
    /// What it may do.
    pub(super) rights: Rights,
}

/// Reads the CONNECT and answers it; none when the client cannot stay, which it has been told by
/// the means of its protocol.
pub(super) async fn accept<R, W>(
    hub: &Hub,
    peer: &Peer,
    read: &mut R,
    write: &mut W,
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Client>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let version = loop {
        match VersionCodec.decode(buffer) {
            Ok(Some(version)) => break version,
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a connection does not begin with an MQTT CONNECT");
                let refusal = v3::ConnectAckReason::UnacceptableProtocolVersion;
                // Only what begins like a CONNECT gets an answer.
                if buffer.first() == Some(&0x10) {
                    send_v3(write, refusal).await?;
                }
                return Ok(None);
            }
        }
        if read.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    match version {
        ProtocolVersion::MQTT3 => accept_v3(hub, peer, read, write, buffer).await,
        ProtocolVersion::MQTT5 => accept_v5(hub, peer, read, write, buffer).await,
    }
}

async fn accept_v3<R, W>(
    hub: &Hub,
    peer: &Peer,
    read: &mut R,
    write: &mut W,
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Client>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut codec = v3::Codec::new(MOST_CONNECT_BYTES.min(hub.max_packet_bytes));
    let connect = match first(&mut codec, read, buffer).await? {
        Some(Ok((v3::Packet::Connect(connect), _))) => connect,
        Some(Err(DecodeError::InvalidClientId)) => {
            send_v3(write, v3::ConnectAckReason::IdentifierRejected).await?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    let credentials = Credentials {
        peer,
        client_id: &connect.client_id,
        user: connect.username.as_deref(),
        password: connect.password.as_deref(),
    };
    let rights = match hub.access.check(credentials).await {
        Verdict::Granted(rights) => rights,
        verdict => {
            hub.counters.broker.refused_logins.add(1);
            let code = match verdict {
                Verdict::BadUserOrPassword => v3::ConnectAckReason::BadUserNameOrPassword,
                _ => v3::ConnectAckReason::NotAuthorized,
            };
            send_v3(write, code).await?;
            return Ok(None);
        }
    };
    warn_of_will(connect.last_will.is_some(), &connect.client_id);
    send_v3(write, v3::ConnectAckReason::ConnectionAccepted).await?;
    Ok(Some(Client {
        id: named(&connect.client_id).0,
        keep_alive: connect.keep_alive,
        receive_maximum: DELIVERY_WINDOW,
        wires: (
            Wire::V3(v3::Codec::new(hub.max_packet_bytes)),
            Wire::V3(v3::Codec::default()),
        ),
        rights,
    }))
}

async fn accept_v5<R, W>(
    hub: &Hub,
    peer: &Peer,
    read: &mut R,
    write: &mut W,
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Client>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut codec = v5::Codec::new(MOST_CONNECT_BYTES.min(hub.max_packet_bytes), 0);
    let connect = match first(&mut codec, read, buffer).await? {
        Some(Ok((v5::Packet::Connect(connect), _))) => connect,
        Some(Err(error)) => {
            let code = match error {
                DecodeError::InvalidClientId => v5::ConnectAckReason::ClientIdentifierNotValid,
                DecodeError::MaxSizeExceeded { .. } => v5::ConnectAckReason::PacketTooLarge,
                _ => v5::ConnectAckReason::MalformedPacket,
            };
            send_v5(write, refusal(code)).await?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    if let Some(code) = objection(&connect) {
        send_v5(write, refusal(code)).await?;
        return Ok(None);
    }
    let credentials = Credentials {
        peer,
        client_id: &connect.client_id,
        user: connect.username.as_deref(),
        password: connect.password.as_deref(),
    };
    let rights = match hub.access.check(credentials).await {
        Verdict::Granted(rights) => rights,
        verdict => {
            hub.counters.broker.refused_logins.add(1);
            let code = match verdict {
                Verdict::BadUserOrPassword => v5::ConnectAckReason::BadUserNameOrPassword,
                _ => v5::ConnectAckReason::NotAuthorized,
            };
            send_v5(write, refusal(code)).await?;
            return Ok(None);
        }
    };
    warn_of_will(connect.last_will.is_some(), &connect.client_id);
    let (id, assigned) = named(&connect.client_id);
    let answer = v5::ConnectAck {
        // Sessions end with their connection.
        session_expiry_interval_secs: (connect.session_expiry_interval_secs > 0).then_some(0),
        receive_max: NonZeroU16::new(hub.limits.receive_maximum(RECEIVE_MAXIMUM))
            .unwrap_or(NonZeroU16::MIN),
        max_qos: QoS::AtLeastOnce,
        max_packet_size: Some(hub.max_packet_bytes),
        assigned_client_id: assigned.then(|| id.as_str().into()),
        topic_alias_max: 0,
        retain_available: false,
        subscription_identifiers_available: false,
        shared_subscription_available: false,
        ..v5::ConnectAck::default()
    };
    send_v5(write, answer).await?;
    let mut outgoing = v5::Codec::new(0, 0);
    if let Some(size) = connect.max_packet_size {
        outgoing.set_max_outbound_size(size.get());
    }
    let window = connect.receive_max.map_or(DELIVERY_WINDOW, NonZeroU16::get);
    Ok(Some(Client {
        id,
        keep_alive: connect.keep_alive,
        receive_maximum: window.min(DELIVERY_WINDOW),
        wires: (
            Wire::V5(v5::Codec::new(hub.max_packet_bytes, 0)),
            Wire::V5(outgoing),
        ),
        rights,
    }))
}

/// What MQTT 5 lets the broker refuse that it does not do.
fn objection(connect: &v5::Connect) -> Option<v5::ConnectAckReason> {
    if connect.auth_method.is_some() {
        return Some(v5::ConnectAckReason::BadAuthenticationMethod);
    }
    let will = connect.last_will.as_ref()?;
    if will.qos == QoS::ExactlyOnce {
        return Some(v5::ConnectAckReason::QosNotSupported);
    }
    will.retain
        .then_some(v5::ConnectAckReason::RetainNotSupported)
}

fn warn_of_will(will: bool, client: &str) {
    if will {
        tracing::warn!(
            client,
            "the client's will is not kept: it will not be published"
        );
    }
}

/// The client's id, or one made for it.
fn named(id: &str) -> (String, bool) {
    match id {
        "" => (format!("auto-{}", Uuid::new_v4().simple()), true),
        id => (id.to_owned(), false),
    }
}

/// The first packet of the connection; none when it ends before.
async fn first<C: Decoder<Error = DecodeError>, R: AsyncRead + Unpin>(
    codec: &mut C,
    read: &mut R,
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Result<C::Item, DecodeError>>> {
    loop {
        match codec.decode(buffer) {
            Ok(Some(packet)) => return Ok(Some(Ok(packet))),
            Ok(None) => {}
            Err(error) => {
                let reason = error.to_reason_code();
                tracing::debug!(%error, ?reason, "a malformed CONNECT");
                return Ok(Some(Err(error)));
            }
        }
        if read.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn refusal(reason_code: v5::ConnectAckReason) -> v5::ConnectAck {
    v5::ConnectAck {
        reason_code,
        ..v5::ConnectAck::default()
    }
}

async fn send_v3<W: AsyncWrite + Unpin>(
    write: &mut W,
    return_code: v3::ConnectAckReason,
) -> std::io::Result<()> {
    let ack = v3::ConnectAck {
        return_code,
        session_present: false,
    };
    send(
        write,
        &mut v3::Codec::default(),
        v3::Packet::ConnectAck(ack),
    )
    .await
}

async fn send_v5<W: AsyncWrite + Unpin>(write: &mut W, ack: v5::ConnectAck) -> std::io::Result<()> {
    send(write, &mut v5::Codec::default(), ack.into()).await
}

async fn send<P, C: Encoder<P>, W: AsyncWrite + Unpin>(
    write: &mut W,
    codec: &mut C,
    packet: P,
) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    codec
        .encode(packet, &mut out)
        .map_err(|_| std::io::Error::other("a CONNACK that does not encode"))?;
    write.write_all(&out).await?;
    write.flush().await
}
