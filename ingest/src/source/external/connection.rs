//! One connection to the broker: its greeting, and the reading half.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use catalog::{Error, ErrorKind, Result};
use rmqtt_codec::types::Publish;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::timeout;

use super::dial::ByteStream;
use super::subscriptions::Subscriptions;
use super::versions::Doubt;
use super::wire::{Incoming, KEEP_ALIVE, Login, Refusal, Version, Welcome, Wire, refused_by_three};
use super::writer::Owed;
use crate::source::now_micros;
use crate::stats::Counters;
use crate::wal::{Acks, Group, LogWriter, Message};

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 256 << 10;
/// Bytes of the shortest CONNACK, which is that of MQTT 3.1.1.
const SHORTEST_CONNACK: usize = 4;
/// Acknowledgements that may be owed. What comes beyond is not read, or a crash could double rows:
/// brokers may send far more than the receive maximum. The rest of the window is for
/// acknowledgements that the broker has not read yet.
const MOST_OWED: usize = crate::wal::EXTERNAL_WINDOW / 8;

/// A connection whose broker has let us in.
pub(super) struct Greeted {
    pub(super) stream: Box<dyn ByteStream>,
    pub(super) wire: Wire,
    pub(super) buffer: BytesMut,
    pub(super) welcome: Welcome,
}

/// Why there is no connection, and whether another version of the protocol may help.
pub(super) struct Unwelcome {
    pub(super) error: Error,
    pub(super) doubt: Doubt,
}

impl From<Error> for Unwelcome {
    fn from(error: Error) -> Self {
        Self {
            error,
            doubt: Doubt::None,
        }
    }
}

/// Sends the CONNECT and takes the answer.
pub(super) async fn greet(
    mut stream: Box<dyn ByteStream>,
    login: &Login,
    version: Version,
) -> std::result::Result<Greeted, Unwelcome> {
    let mut wire = Wire::new(version);
    let mut buffer = BytesMut::new();
    wire.connect(login, &mut buffer)?;
    let gone = |e: std::io::Error| Error::unavailable(format!("MQTT broker: {e}"));
    stream.write_all_buf(&mut buffer).await.map_err(gone)?;
    stream.flush().await.map_err(gone)?;
    buffer.reserve(READ_BYTES);
    let welcome = loop {
        // Some old brokers hang up on a version they do not know.
        if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
            return Err(Unwelcome {
                error: Error::unavailable("the MQTT broker hung up instead of an answer")
                    .with_hint("is it a broker that listens there, and is it one for TLS?"),
                doubt: Doubt::HungUp,
            });
        }
        // The decoder takes a packet's head away, by which the version is known.
        if buffer.len() < SHORTEST_CONNACK {
            continue;
        }
        if let Some(refusal) = refused_by_three(&buffer) {
            return Err(unwelcome(refusal));
        }
        match wire.decode(&mut buffer)? {
            Some(Incoming::Welcome(mut welcome)) => match welcome.refused.take() {
                Some(refusal) => return Err(unwelcome(refusal)),
                None => break welcome,
            },
            Some(Incoming::Goodbye(why)) => return Err(unwelcome(Refusal::Other(why))),
            Some(other) => {
                let what = format!("the MQTT broker answered a CONNECT with {other:?}");
                return Err(Error::unavailable(what).into());
            }
            None => {}
        }
    };
    Ok(Greeted {
        stream,
        wire,
        buffer,
        welcome,
    })
}

fn unwelcome(refusal: Refusal) -> Unwelcome {
    let (doubt, why) = match refusal {
        Refusal::Version => {
            let why = "it does not speak this version of MQTT";
            (Doubt::Refused, why.to_owned())
        }
        Refusal::Other(why) => (Doubt::None, why),
    };
    Unwelcome {
        error: Error::new(
            ErrorKind::PermissionDenied,
            format!("the MQTT broker lets nobody in: {why}"),
        )
        .with_hint("check the user name, the password, and the broker's access rules"),
        doubt,
    }
}

/// The reading half.
pub(super) struct Reader<'a, R> {
    pub(super) read: R,
    pub(super) wire: Wire,
    pub(super) buffer: BytesMut,
    /// The name of the session in the log.
    pub(super) client: u64,
    pub(super) log: &'a LogWriter,
    pub(super) counters: &'a Counters,
    pub(super) acks: Acks,
    pub(super) packets: UnboundedSender<BytesMut>,
    pub(super) owed: Arc<Owed>,
    pub(super) subscriptions: &'a mut Subscriptions,
    pub(super) wanted: &'a mut watch::Receiver<BTreeSet<String>>,
    pub(super) subscribed: &'a watch::Sender<bool>,
    pub(super) requests: Requests,
}

/// SUBSCRIBEs and UNSUBSCRIBEs under way.
#[derive(Default)]
pub(super) struct Requests {
    last: u16,
    /// Those the broker has not answered.
    open: BTreeSet<u16>,
}

impl Requests {
    fn next(&mut self) -> NonZeroU16 {
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.open.insert(self.last);
        NonZeroU16::new(self.last).unwrap_or(NonZeroU16::MIN)
    }
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    /// Subscribes, and reads until the connection breaks.
    pub(super) async fn run(mut self) -> Error {
        if let Err(error) = self.renew() {
            return error;
        }
        loop {
            if let Err(error) = self.step().await {
                return error;
            }
        }
    }

    /// Subscribes to all that is wanted now: a session may have it already, but the streams may have
    /// changed, and an earlier connection may have failed to remember that they did.
    fn renew(&mut self) -> Result<()> {
        let wanted = self.wanted.borrow_and_update().clone();
        if wanted != self.subscriptions.wanted {
            self.subscriptions.want(wanted)?;
        }
        let wanted: Vec<String> = self.subscriptions.wanted.iter().cloned().collect();
        self.ask(&wanted)
    }

    /// Takes what has been read, and reads more.
    async fn step(&mut self) -> Result<()> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(packet) = self.wire.decode(&mut self.buffer)? {
            if let Some(message) = self.take(packet)? {
                bytes += message.encoded_len();
                messages.push(message);
            }
        }
        self.hand_over(messages, bytes).await?;
        self.owed.below(MOST_OWED).await;
        self.buffer.reserve(READ_BYTES);
        let patience = Duration::from_secs(u64::from(KEEP_ALIVE)) * 3 / 2;
        tokio::select! {
            read = timeout(patience, self.read.read_buf(&mut self.buffer)) => match read {
                Ok(Ok(1..)) => Ok(()),
                Ok(Ok(0)) => Err(lost("it closed the connection")),
                Ok(Err(error)) => Err(lost(&error.to_string())),
                Err(_) => Err(lost("it says nothing any more")),
            },
            Ok(()) = self.wanted.changed() => {
                let wanted = self.wanted.borrow_and_update().clone();
                let new = self.subscriptions.want(wanted)?;
                self.ask(&new)
            }
        }
    }

    /// What a packet brings for the log.
    fn take(&mut self, packet: Incoming) -> Result<Option<Message>> {
        match packet {
            Incoming::Publish(publish) => return self.message(*publish),
            Incoming::Subscribed { id, refused: None } | Incoming::Unsubscribed { id } => {
                self.answered(id)?;
            }
            Incoming::Subscribed {
                refused: Some(why), ..
            } => {
                return Err(Error::new(
                    ErrorKind::PermissionDenied,
                    format!("the MQTT broker refused a subscription: {why}"),
                )
                .with_hint("check the broker's access rules for this client"));
            }
            Incoming::Goodbye(why) => return Err(lost(&format!("it said {why}"))),
            Incoming::Pong => {}
            Incoming::Welcome(_) | Incoming::Unexpected => {
                return Err(lost("it sent a packet that brokers do not send"));
            }
        }
        Ok(None)
    }

    fn message(&mut self, publish: Publish) -> Result<Option<Message>> {
        let aliased = publish.properties.as_ref().map(|p| p.topic_alias.is_some());
        if publish.topic.is_empty() || aliased == Some(true) {
            return Err(lost("it sent a topic alias, which it was not allowed"));
        }
        let packet_id = publish.packet_id.map_or(0, NonZeroU16::get);
        self.owed.add(usize::from(packet_id != 0));
        if self.wire.is_old(&publish) {
            if packet_id != 0 {
                // The writing half is gone only with the connection.
                let _ = self.acks.send(vec![packet_id]);
            }
            return Ok(None);
        }
        Ok(Some(Message {
            client: self.client,
            packet_id,
            dup: publish.dup,
            received: now_micros(),
            topic: publish.topic.into_bytes(),
            payload: publish.payload,
        }))
    }

    async fn hand_over(&mut self, messages: Vec<Message>, bytes: usize) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let permit = self.log.reserve(bytes).await?;
        Counters::add(&self.counters.received, messages.len());
        let acks = self.acks.clone();
        permit.submit(Group { messages, acks })
    }

    /// Subscribes to new filters, then gives back those of earlier settings: the other way round
    /// what is published in between to a topic of both would be lost.
    fn ask(&mut self, new: &[String]) -> Result<()> {
        let mut out = BytesMut::new();
        if !new.is_empty() {
            let id = self.requests.next();
            self.wire.subscribe(id, new, &mut out)?;
        }
        if !self.subscriptions.stale.is_empty() {
            let stale: Vec<String> = self.subscriptions.stale.iter().cloned().collect();
            let id = self.requests.next();
            self.wire.unsubscribe(id, &stale, &mut out)?;
        }
        // The writing half is gone only with the connection.
        let _ = self.packets.send(out);
        Ok(())
    }

    /// The broker has answered a request. After the last one it has every filter that is wanted,
    /// and none else.
    fn answered(&mut self, id: u16) -> Result<()> {
        self.requests.open.remove(&id);
        if self.requests.open.is_empty() {
            self.subscriptions.settled()?;
            self.subscribed.send_replace(true);
        }
        Ok(())
    }
}

fn lost(why: &str) -> Error {
    Error::unavailable(format!("MQTT broker: {why}"))
        .with_hint("check that the broker runs, and its log")
}
