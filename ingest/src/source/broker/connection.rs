//! The reading half of a connection: packets in, groups of messages into the log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rmqtt_codec::v5::{ConnectAckReason, DisconnectReasonCode as Reason};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::{Instant, timeout, timeout_at};

use super::Hub;
use super::auth::{Peer, Rights};
use super::debt::{Debt, Owed};
use super::handshake::{self, Client};
use super::journal::Entry;
use super::limits::{Place, Throttle};
use super::outbound::{Control, Outbound};
use super::session::{Kick, Session};
use super::sessions::{Entered, Leave};
use super::wire::{Incoming, Outgoing, Refusal, Wire};
use crate::stats::Counters;
use crate::wal::{Acks, Group, Message};

/// A client has this long to send its CONNECT, and to take its CONNACK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept ready for a CONNECT: who has not sent it yet is given little.
const FIRST_BYTES: usize = 1 << 10;
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 << 10;
/// A buffer is used up to this many last bytes, so that what lives on in it is most of it.
const LEAST_READ: usize = 8 << 10;
/// Messages handed to the log together at most.
const GROUP: usize = 1_024;
/// After a goodbye the socket is read this much longer, so that the goodbye is not lost to a reset.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The reading half's state.
pub(super) struct Connection {
    pub(super) hub: Arc<Hub>,
    pub(super) session: Arc<Session>,
    pub(super) number: u64,
    pub(super) wire: Wire,
    pub(super) acks: Acks,
    owed_to: UnboundedSender<Owed>,
    pub(super) control: UnboundedSender<Control>,
    /// Rings for the writing half when the client has acknowledged something.
    pub(super) wake: Arc<Notify>,
    pub(super) debt: Arc<Debt>,
    /// Messages read and not handed to the log yet, and what is owed for them.
    pub(super) messages: Vec<Message>,
    pub(super) bytes: usize,
    pub(super) owed: Owed,
    /// PUBLISH packets read and not counted against the rate yet, and their bytes.
    pub(super) published: (usize, usize),
    /// Packet ids at QoS 2 that this connection has taken and its client has not released.
    pub(super) twos: HashSet<u16>,
    /// Changes for the journal that nothing waits for.
    pub(super) changes: Vec<Entry>,
    pub(super) rights: Rights,
    throttle: Throttle,
    /// Topics by alias; of this connection alone [MQTT-3.3.2-7].
    pub(super) aliases: HashMap<u16, String>,
    pub(super) receive_maximum: usize,
    /// The session's expiry as granted.
    pub(super) expiry: u32,
}

/// Why reading ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// The client said goodbye.
    Goodbye { will: bool, expiry: Option<u32> },
    /// It is gone.
    Lost,
    /// It has to go, for this reason.
    Because(Reason),
}

/// Serves one client from its first byte to its last.
pub(super) async fn serve<R, W>(hub: Arc<Hub>, mut read: R, mut write: W, peer: Peer, place: Place)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let reading = hub.readers.token();
    let mut buffer = BytesMut::with_capacity(FIRST_BYTES);
    let accepted = timeout(
        CONNECT_TIMEOUT,
        handshake::accept(&hub, &peer, &mut read, &mut write, &mut buffer),
    );
    let accepted = tokio::select! {
        accepted = accepted => accepted,
        () = place.evicted() => return,
        () = hub.stop.cancelled() => return,
    };
    let Ok(Ok(Some(mut client))) = accepted else {
        return;
    };
    place.settle();
    let place = Arc::new(place);
    tracing::debug!(
        client = client.wish.client,
        user = client.rights.user(),
        "an MQTT client is let in"
    );
    client.wish.clean |= hub.exceeds(&client.wish.client, &client.rights);
    let Some(entered) = hub.enter(&client.wish) else {
        let refusal = Refusal::new(ConnectAckReason::QuotaExceeded, "too many sessions");
        // It may be gone already.
        let _ = timeout(
            CONNECT_TIMEOUT,
            handshake::refuse(&mut write, &refusal, client.is_v5),
        )
        .await;
        return;
    };
    client.wish.will = None;
    hub.counters.broker.connects.add(1);
    hub.counters.broker.connections.add(1);
    let session = Arc::clone(&entered.session);
    let number = entered.link.connection;
    let end = if welcome(&hub, &client, &entered, &mut write).await {
        let (connection, outbound, kick) = Connection::halves(&hub, client, entered, write);
        let place = Arc::clone(&place);
        hub.tracker.spawn(async move {
            outbound.run().await;
            // The socket counts as long as this half has it.
            drop(place);
        });
        connection.run(&mut read, &mut buffer, &kick).await
    } else {
        End::Lost
    };
    tracing::debug!(client = session.client, ?end, "an MQTT client leaves");
    let (will, expiry) = match end {
        End::Goodbye { will, expiry } => (will, expiry),
        End::Lost | End::Because(_) => (true, None),
    };
    hub.leave(&session, number, Leave { will, expiry });
    hub.counters.broker.connections.sub(1);
    drop(reading);
    if matches!(end, End::Because(_)) {
        linger(&mut read, &mut buffer).await;
    }
}

/// Sends the CONNACK once the session is durable; false when the client does not take it.
async fn welcome<W: AsyncWrite + Unpin>(
    hub: &Hub,
    client: &Client,
    entered: &Entered,
    write: &mut W,
) -> bool {
    let ack = client.welcome(hub, entered);
    let mut durable = hub.journal.durable();
    let sent = async {
        let _ = durable.wait_for(|last| *last >= entered.sequence).await;
        handshake::send(write, &ack).await
    };
    matches!(timeout(CONNECT_TIMEOUT, sent).await, Ok(Ok(())))
}

/// Reads and drops what the client still sends.
async fn linger<R: AsyncRead + Unpin>(read: &mut R, buffer: &mut BytesMut) {
    let drain = async {
        loop {
            buffer.clear();
            match read.read_buf(buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    // Reaching the limit is as good as the client's own end.
    let _ = timeout(LINGER, drain).await;
}

impl Connection {
    /// The two halves, and what ends them from outside.
    fn halves<W>(
        hub: &Arc<Hub>,
        client: Client,
        entered: Entered,
        write: W,
    ) -> (Reader, Outbound<W>, Kick) {
        let (acks, acks_out) = mpsc::unbounded_channel();
        let (owed_to, owed) = mpsc::unbounded_channel();
        let (control, control_out) = mpsc::unbounded_channel();
        let debt = Arc::new(Debt::default());
        let link = entered.link;
        let connection = Self {
            hub: Arc::clone(hub),
            session: Arc::clone(&entered.session),
            number: link.connection,
            wire: Wire::new(client.is_v5, hub.max_packet_bytes),
            acks,
            owed_to,
            control,
            wake: Arc::clone(&link.wake),
            debt: Arc::clone(&debt),
            messages: Vec::new(),
            bytes: 0,
            owed: Owed::default(),
            published: (0, 0),
            twos: HashSet::new(),
            changes: Vec::new(),
            rights: client.rights,
            throttle: hub.limits.throttle(),
            aliases: HashMap::new(),
            receive_maximum: if client.is_v5 {
                usize::from(client.receive_maximum)
            } else {
                usize::MAX
            },
            expiry: client.wish.expiry,
        };
        let outbound = Outbound::new(
            hub,
            entered.session,
            &link,
            Wire::new(client.is_v5, client.most_packet),
            write,
            (acks_out, owed, control_out),
            debt,
        );
        for id in entered.released {
            connection.tell(Control::release(id.get()));
        }
        // What waited for the client goes out without anything happening first.
        link.wake.notify_one();
        let reader = Reader {
            connection,
            keep_alive: client.keep_alive,
        };
        (reader, outbound, link.kick)
    }

    /// Takes packets from the buffer until a group of messages is full, or too much is owed; true
    /// when none is left.
    fn take_packets(&mut self, buffer: &mut BytesMut) -> Result<bool, End> {
        while self.messages.len() < GROUP && self.debt.has_room() {
            match self.wire.decode(buffer) {
                Ok(Some(packet)) => self.handle(packet)?,
                Ok(None) => return Ok(true),
                Err(fault) => {
                    tracing::info!(
                        client = self.session.client,
                        fault = fault.what,
                        "a malformed or oversized MQTT packet"
                    );
                    return Err(End::Because(fault.reason));
                }
            }
        }
        Ok(false)
    }

    fn handle(&mut self, packet: Incoming) -> Result<(), End> {
        match packet {
            Incoming::Publish(publish) => self.publish(*publish)?,
            Incoming::Ack(ack) => self.acknowledged(ack)?,
            Incoming::Subscribe {
                id,
                filters,
                identifier,
            } => self.subscribe(id, filters, identifier)?,
            Incoming::Unsubscribe { id, filters } => self.unsubscribe(id, &filters)?,
            Incoming::Ping => self.tell(Control::Send(0, Outgoing::Pong)),
            Incoming::Disconnect { will, expiry } => {
                if self.expiry == 0 && expiry.is_some_and(|expiry| expiry > 0) {
                    return Err(self.violation("a session's expiry set at its end"));
                }
                let expiry = expiry.map(|expiry| expiry.min(self.hub.max_expiry));
                return Err(End::Goodbye { will, expiry });
            }
            Incoming::Unexpected(packet) => return Err(self.violation(packet)),
        }
        Ok(())
    }

    /// The client has done what the protocol forbids.
    pub(super) fn violation(&self, what: &str) -> End {
        tracing::info!(
            client = self.session.client,
            what,
            "an MQTT client breaks the protocol"
        );
        End::Because(Reason::ProtocolError)
    }

    /// Hands changes of the session to the journal; returns the number to wait for.
    pub(super) fn journal(&mut self) -> u64 {
        self.hub.journal.append(std::mem::take(&mut self.changes))
    }

    /// Gives the messages read so far to the log, once what is owed has a bound.
    async fn hand_over(&mut self) -> Result<(), End> {
        if !self.changes.is_empty() {
            self.journal();
        }
        self.hub.journal.room().await;
        self.debt.room().await;
        self.keep_to_the_rate().await;
        if self.messages.is_empty() {
            return Ok(());
        }
        let closed = |_| End::Because(Reason::ServerShuttingDown);
        let permit = self.hub.log.reserve(self.bytes).await.map_err(closed)?;
        let messages = std::mem::take(&mut self.messages);
        self.bytes = 0;
        Counters::add(&self.hub.counters.received, messages.len());
        let owed = std::mem::take(&mut self.owed);
        // The log answers only for groups with something to acknowledge.
        if owed.tracked > 0 {
            self.debt.take_group(owed.tracked, owed.bytes);
            // The writing half lives as long as this one.
            let _ = self.owed_to.send(owed);
        }
        let acks = self.acks.clone();
        permit.submit(Group { messages, acks }).map_err(closed)
    }

    /// Waits as long as a client has to that sends faster than it may, whatever becomes of it.
    async fn keep_to_the_rate(&mut self) {
        let (messages, bytes) = std::mem::take(&mut self.published);
        if messages == 0 {
            return;
        }
        let pause = self.throttle.take(messages, bytes);
        if !pause.is_zero() {
            self.hub.counters.broker.throttled.add(1);
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn tell(&self, control: Control) {
        self.debt.take_answer(control.weight());
        // The writing half outlives this one.
        let _ = self.control.send(control);
    }
}

/// The reading half with what only its loop needs.
struct Reader {
    connection: Connection,
    /// Seconds; 0 for none.
    keep_alive: u16,
}

impl Reader {
    async fn run<R: AsyncRead + Unpin>(
        mut self,
        read: &mut R,
        buffer: &mut BytesMut,
        kick: &Kick,
    ) -> End {
        let end = self.read(read, buffer, kick).await;
        let connection = &mut self.connection;
        connection.journal();
        let reason = match end {
            End::Because(reason) => Some(reason),
            End::Goodbye { .. } | End::Lost => None,
        };
        connection.tell(Control::Finish(reason));
        end
    }

    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        read: &mut R,
        buffer: &mut BytesMut,
        kick: &Kick,
    ) -> End {
        let connection = &mut self.connection;
        let hub = Arc::clone(&connection.hub);
        let mut last = Instant::now();
        loop {
            let before = buffer.len();
            let read_all = connection.take_packets(buffer);
            let took = buffer.len() < before;
            let handed = tokio::select! {
                biased;
                // First: what its successor sends again must not be logged before this.
                reason = kick.kicked() => Err(End::Because(reason)),
                handed = connection.hand_over() => handed,
                () = hub.stop.cancelled() => Err(End::Because(Reason::ServerShuttingDown)),
            };
            if took {
                // Counted from here: waiting for the log is not the client's silence.
                last = Instant::now();
            }
            match read_all.and_then(|all| handed.map(|()| all)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(end) => return end,
            }
            if buffer.capacity() - buffer.len() < LEAST_READ {
                buffer.reserve(READ_BYTES);
            }
            let patience = match self.keep_alive {
                0 => Duration::from_secs(u64::from(u32::MAX)),
                secs => Duration::from_millis(u64::from(secs) * 1_500),
            };
            let received = tokio::select! {
                received = timeout_at(last + patience, read.read_buf(buffer)) => received,
                reason = kick.kicked() => return End::Because(reason),
                () = hub.stop.cancelled() => return End::Because(Reason::ServerShuttingDown),
            };
            match received {
                Ok(Ok(0) | Err(_)) => return End::Lost,
                Ok(Ok(_)) => {}
                Err(_) => return End::Because(Reason::KeepAliveTimeout),
            }
        }
    }
}
