//! The first packet of a connection: which MQTT it speaks, who it is, and whether it may stay.

use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::BytesMut;
use rmqtt_codec::v5::{self, ConnectAckReason as Code};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

use super::Hub;
use super::auth::{Credentials, Peer, Rights, Verdict};
use super::limits::{self, MOST_CONNECT_BYTES};
use super::publication::Publication;
use super::session::Will;
use super::sessions::{Entered, Wish};
use super::wire::{self, Connect, Opening, Refusal};

/// Messages a client may have unacknowledged; told to MQTT 5 clients.
const RECEIVE_MAXIMUM: u16 = 8_192;
/// Messages under way to a client that does not say how many it takes.
const DELIVERY_WINDOW: u16 = 1_024;
/// Topic aliases a client may use; their topics are kept for it.
pub(super) const TOPIC_ALIASES: u16 = 64;

/// A client that may come in.
pub(super) struct Client {
    pub(super) is_v5: bool,
    pub(super) wish: Wish,
    /// Seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// The largest packet it takes.
    pub(super) most_packet: u32,
    /// What it may do.
    pub(super) rights: Rights,
    /// What it may have unacknowledged.
    pub(super) receive_maximum: u16,
    /// The keep alive and expiry it asked for.
    asked: (u16, u32),
    assigned: bool,
    wants_response_info: bool,
}

/// Reads the CONNECT; none when the client cannot stay, which it has been told by the means of its
/// protocol.
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
    let opening = loop {
        if let Some(opening) = wire::opening(buffer) {
            break opening;
        }
        if read.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let is_v5 = match opening {
        Opening::V3 => false,
        Opening::V5 => true,
        Opening::OtherVersion => {
            let code = Code::UnsupportedProtocolVersion;
            refuse(write, &Refusal::new(code, "another version"), false).await?;
            return Ok(None);
        }
        Opening::Foreign => {
            tracing::debug!("a connection does not begin with an MQTT CONNECT");
            return Ok(None);
        }
    };
    let most = MOST_CONNECT_BYTES.min(hub.max_packet_bytes);
    let connect = loop {
        match wire::connect(buffer, is_v5, most) {
            Ok(Some(connect)) => break connect,
            Ok(None) => {}
            Err(refusal) => {
                tracing::debug!(why = refusal.why, "an MQTT CONNECT is refused");
                refuse(write, &refusal, is_v5).await?;
                return Ok(None);
            }
        }
        if read.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let most_packet = connect.most_packet.unwrap_or(u32::MAX);
    match admit(hub, peer, connect).await {
        Ok(client) => Ok(Some(client)),
        Err(mut refusal) => {
            refusal.most_packet = most_packet;
            refuse(write, &refusal, is_v5).await?;
            Ok(None)
        }
    }
}

/// Asks who the client is, and takes its wishes as far as they can be granted.
async fn admit(hub: &Hub, peer: &Peer, connect: Connect) -> Result<Client, Refusal> {
    if connect.has_auth_method {
        let code = Code::BadAuthenticationMethod;
        return Err(Refusal::new(code, "no authentication method is supported"));
    }
    let credentials = Credentials {
        peer,
        client_id: &connect.client_id,
        user: connect.user.as_deref(),
        password: connect.password.as_deref(),
    };
    let rights = match hub.access.check(credentials).await {
        Verdict::Granted(rights) => rights,
        verdict => {
            hub.counters.broker.refused_logins.add(1);
            let code = match verdict {
                Verdict::BadUserOrPassword => Code::BadUserNameOrPassword,
                _ => Code::NotAuthorized,
            };
            return Err(Refusal::new(code, "wrong or missing user or password"));
        }
    };
    let will = match &connect.will {
        None => None,
        Some(will) => {
            let topic = &will.publish.topic;
            if !limits::takes_topic(topic) {
                let code = Code::TopicNameInvalid;
                return Err(Refusal::new(code, "the will's topic is too long"));
            }
            if topic.starts_with("$SYS/") || !rights.publish(topic) {
                let code = Code::NotAuthorized;
                return Err(Refusal::new(
                    code,
                    "the will's topic is not for this client",
                ));
            }
            Some(Will {
                publication: Arc::new(Publication::new(&will.publish)),
                delay: will.delay,
            })
        }
    };
    let assigned = connect.client_id.is_empty();
    let client = if assigned {
        format!("auto-{}", Uuid::new_v4().simple())
    } else {
        connect.client_id
    };
    let window = connect.receive_maximum.unwrap_or(DELIVERY_WINDOW);
    let longest = hub.max_keep_alive;
    let shorten =
        connect.is_v5 && longest > 0 && (connect.keep_alive == 0 || connect.keep_alive > longest);
    Ok(Client {
        is_v5: connect.is_v5,
        wish: Wish {
            client,
            user: rights.user().map(str::to_owned),
            clean: connect.clean,
            expiry: connect.expiry.min(hub.max_expiry),
            will,
            window: window.min(DELIVERY_WINDOW),
        },
        keep_alive: if shorten { longest } else { connect.keep_alive },
        most_packet: connect.most_packet.unwrap_or(u32::MAX),
        rights,
        receive_maximum: hub.limits.receive_maximum(RECEIVE_MAXIMUM).max(1),
        asked: (connect.keep_alive, connect.expiry),
        assigned,
        wants_response_info: connect.wants_response_info,
    })
}

impl Client {
    /// The CONNACK that lets it in.
    pub(super) fn welcome(&self, hub: &Hub, entered: &Entered) -> BytesMut {
        if !self.is_v5 {
            return wire::accepted_v3(entered.present);
        }
        let (keep_alive, expiry) = self.asked;
        let granted = self.wish.expiry;
        let client = self.wish.client.as_str();
        let response = self
            .wants_response_info
            .then(|| format!("response/{client}"));
        wire::accepted_v5(v5::ConnectAck {
            session_present: entered.present,
            session_expiry_interval_secs: (granted != expiry).then_some(granted),
            receive_max: NonZeroU16::new(self.receive_maximum).unwrap_or(NonZeroU16::MIN),
            max_packet_size: Some(hub.max_packet_bytes),
            assigned_client_id: self.assigned.then(|| client.into()),
            topic_alias_max: TOPIC_ALIASES,
            server_keepalive_sec: (self.keep_alive != keep_alive).then_some(self.keep_alive),
            response_info: response.map(Into::into),
            ..v5::ConnectAck::default()
        })
    }
}

/// Tells the client that it does not come in.
pub(super) async fn refuse<W: AsyncWrite + Unpin>(
    write: &mut W,
    refusal: &Refusal,
    is_v5: bool,
) -> std::io::Result<()> {
    send(write, &wire::refused(refusal, is_v5)).await
}

/// Writes the bytes at once.
pub(super) async fn send<W: AsyncWrite + Unpin>(
    write: &mut W,
    bytes: &[u8],
) -> std::io::Result<()> {
    write.write_all(bytes).await?;
    write.flush().await
}
