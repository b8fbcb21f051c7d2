//! The connection under a [`Publisher`](super::Publisher): one task that sends, counts
//! PUBACKs, and after a break connects again and sends again.
//!
//! rumqttc alone would not do: on a broker that has lost our session it forgets what was
//! on its way, it repeats messages without the DUP flag, and not in the order of sending.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use catalog::{Error, ErrorKind, Result};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAck, PubAckReason};
use rumqttc::v5::{ConnectionError, Event, EventLoop, Incoming, Request, StateError};
use tokio::sync::watch;

/// How long to try again after the last sign of progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before the first and before every later attempt to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How far the link has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// True from the first connection on.
    pub(super) connected: bool,
    pub(super) acknowledged: u64,
    /// Acknowledged messages that nobody subscribes to.
    pub(super) unmatched: u64,
    pub(super) reconnects: u64,
}

/// The task's state.
pub(super) struct Link {
    eventloop: EventLoop,
    broker: String,
    progress: watch::Sender<Progress>,
    /// Messages on their way: packet identifier to the order of sending.
    in_flight: HashMap<u16, u64>,
    sent: u64,
    /// What the next connection sends before anything new.
    resend: Vec<Request>,
    /// Since when the connection breaks without progress, and the pause to make next.
    broken: Option<(Instant, Duration)>,
}

impl Link {
    pub(super) fn new(
        eventloop: EventLoop,
        broker: String,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self {
            eventloop,
            broker,
            progress,
            in_flight: HashMap::new(),
            sent: 0,
            resend: Vec::new(),
            broken: None,
        }
    }

    /// Works until we disconnect, or until it makes no sense any more.
    pub(super) async fn run(mut self) -> Result<()> {
        loop {
            match self.eventloop.poll().await {
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return Ok(()),
                Ok(event) => self.note(&event)?,
                Err(error) => self.recover(error).await?,
            }
        }
    }

    fn note(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => self.connected(),
            Event::Incoming(Incoming::PubAck(ack)) => self.acknowledged(ack)?,
            // One sent again keeps its place in the order.
            Event::Outgoing(Outgoing::Publish(id)) => {
                self.in_flight.entry(*id).or_insert(self.sent);
                self.sent += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self) {
        // Also when the broker has lost our session: its log may still hold the messages,
        // and then it knows them by packet identifier and DUP flag.
        self.eventloop.pending.extend(self.resend.drain(..));
        if self.in_flight.is_empty() {
            self.broken = None;
        }
        self.progress.send_modify(|progress| {
            progress.reconnects += u64::from(progress.connected);
            progress.connected = true;
        });
    }

    fn acknowledged(&mut self, ack: &PubAck) -> Result<()> {
        if self.in_flight.remove(&ack.pkid).is_none() {
            return Ok(());
        }
        let matched = match ack.reason {
            PubAckReason::Success => true,
            PubAckReason::NoMatchingSubscribers => false,
            reason => return Err(self.refused(reason)),
        };
        self.broken = None;
        self.progress.send_modify(|progress| {
            progress.acknowledged += 1;
            progress.unmatched += u64::from(!matched);
        });
        Ok(())
    }

    fn refused(&self, reason: PubAckReason) -> Error {
        let kind = match reason {
            PubAckReason::NotAuthorized => ErrorKind::PermissionDenied,
            PubAckReason::QuotaExceeded => ErrorKind::ResourceExhausted,
            _ => ErrorKind::InvalidInput,
        };
        Error::new(
            kind,
            format!(
                "the broker at {} refused a message: {reason:?}",
                self.broker
            ),
        )
        .with_hint("the broker's log says more; check its access rules and limits")
    }

    /// Keeps what is not acknowledged for the next connection, and waits before it; or
    /// gives up.
    async fn recover(&mut self, error: ConnectionError) -> Result<()> {
        // What arrived before the break still counts; left in place it would be taken for
        // news of the next connection.
        for event in mem::take(&mut self.eventloop.state.events) {
            self.note(&event)?;
        }
        self.keep_unacknowledged();
        if !self.progress.borrow().connected || is_final(&error) {
            return Err(self.describe(error));
        }
        let (since, pause) = self.broken.unwrap_or_else(|| {
            tracing::warn!(broker = self.broker, %error, "connection lost, trying again");
            (Instant::now(), FIRST_PAUSE)
        });
        if since.elapsed() > PATIENCE {
            return Err(self.describe(error));
        }
        self.broken = Some((since, (pause * 2).min(LONGEST_PAUSE)));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn keep_unacknowledged(&mut self) {
        let mut sent = mem::take(&mut self.resend);
        let mut unsent = Vec::new();
        for mut request in mem::take(&mut self.eventloop.pending) {
            match &mut request {
                Request::Publish(publish) if publish.pkid != 0 => {
                    publish.dup = true;
                    sent.push(request);
                }
                _ => unsent.push(request),
            }
        }
        sent.sort_by_key(|request| {
            match request {
                Request::Publish(publish) => self.in_flight.get(&publish.pkid).copied(),
                _ => None,
            }
            .unwrap_or(u64::MAX)
        });
        // A message whose identifier was still taken has not been sent yet.
        if let Some(mut publish) = self.eventloop.state.collision.take() {
            publish.pkid = 0;
            unsent.insert(0, Request::Publish(publish));
        }
        sent.append(&mut unsent);
        self.resend = sent;
    }

    fn describe(&self, error: ConnectionError) -> Error {
        let broker = &self.broker;
        match refusal(&error) {
            Some(Refusal::Login) => Error::unauthenticated(format!("the broker at {broker} does not know this user or password"))
                .with_hint("set PUMPHOUSE_MQTT_USERNAME and PUMPHOUSE_MQTT_PASSWORD"),
            Some(Refusal::Rights) => Error::new(ErrorKind::PermissionDenied, format!("the broker at {broker} does not let this user in"))
                .with_hint("check the broker's access rules, and PUMPHOUSE_MQTT_USERNAME"),
            Some(Refusal::Version) => Error::unsupported(format!("the broker at {broker} does not speak MQTT 5"))
                .with_hint("use a broker with MQTT 5, such as Mosquitto 1.6 or later, or `pumphouse serve`"),
            Some(Refusal::Size) => Error::invalid(format!("a message is larger than the broker at {broker} takes"))
                .with_hint("send smaller messages, or raise the broker's limit (mqtt.max_packet_bytes of `pumphouse serve`)"),
            None if self.progress.borrow().connected => Error::unavailable(format!("the connection to the broker at {broker} is lost"))
                .with_hint("is the broker still running? Messages without acknowledgement may be missing there"),
            None => Error::unavailable(format!("no MQTT broker answers at {broker}"))
                .with_hint("start one with `pumphouse serve`, or name another with --broker mqtt://host:port"),
        }
        .with_source(error)
    }
}

/// Why a broker will never take us or our message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Login,
    Rights,
    Version,
    Size,
}

fn is_final(error: &ConnectionError) -> bool {
    refusal(error).is_some() || matches!(error, ConnectionError::RequestsDone)
}

fn refusal(error: &ConnectionError) -> Option<Refusal> {
    use ConnectReturnCode as Code;
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            Code::BadUserNamePassword | Code::BadAuthenticationMethod => Some(Refusal::Login),
            Code::NotAuthorized | Code::Banned | Code::ClientIdentifierNotValid => {
                Some(Refusal::Rights)
            }
            Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
                Some(Refusal::Version)
            }
            _ => None,
        },
        ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }) => {
            Some(Refusal::Size)
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            match reason_code {
                DisconnectReasonCode::PacketTooLarge => Some(Refusal::Size),
                DisconnectReasonCode::NotAuthorized => Some(Refusal::Rights),
                _ => None,
            }
        }
        _ => None,
    }
}
