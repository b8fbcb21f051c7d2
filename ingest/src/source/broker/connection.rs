//! The reading half of a connection: packets in, groups of messages into the log.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v5::{
    DisconnectReasonCode as Reason, SubscribeAckReason, ToReasonCode, UnsubscribeAckReason,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::{self, Sender, UnboundedSender};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Hub;
use super::auth::{Peer, Rights};
use super::handshake::{self, Client};
use super::limits::{self, Place, Throttle};
use super::outbound::{Control, Outbound, Window};
use super::router::{Delivery, Subscription};
use super::wire::{FilterOptions, Incoming, Outgoing, Wire};
use crate::source::{client_hash, now_micros};
use crate::stats::Counters;
use crate::topic;
use crate::wal::{Acks, Group, Message};

/// A client has this long to send its CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes kept ready for a CONNECT: who has not sent it yet is given little.
const FIRST_BYTES: usize = 1 << 10;
/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 << 10;
/// Messages handed to the log together at most.
const GROUP: usize = 1_024;
/// Deliveries that wait for a slow subscriber before it misses some.
const DELIVERIES: usize = 1_024;
/// After a goodbye the socket is read this much longer, so that the goodbye is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// The reading half's state.
struct Connection {
    hub: Arc<Hub>,
    number: u64,
    client: u64,
    wire: Wire,
    acks: Acks,
    control: UnboundedSender<Control>,
    deliveries: Sender<Delivery>,
    filters: HashSet<String>,
    /// Messages read and not handed to the log yet.
    messages: Vec<Message>,
    bytes: usize,
    rights: Rights,
    throttle: Throttle,
}

/// Why reading ends: a reason to tell the client, or none when it left.
type End = Option<Reason>;

/// Serves one client from its first byte to its last.
pub(super) async fn serve<R, W>(hub: Arc<Hub>, mut read: R, mut write: W, peer: Peer, place: Place)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
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
    let Ok(Ok(Some(client))) = accepted else {
        return;
    };
    let Client {
        id,
        keep_alive,
        receive_maximum,
        wires: (incoming, outgoing),
        rights,
    } = client;
    place.settle();
    let (acks, acks_out) = mpsc::unbounded_channel();
    let (control, control_out) = mpsc::unbounded_channel();
    let (deliveries, deliveries_out) = mpsc::channel(DELIVERIES);
    hub.counters.broker.connects.add(1);
    hub.counters.broker.connections.add(1);
    let (number, kicked) = hub.enter(&id);
    let outbound = Outbound {
        socket: write,
        wire: outgoing,
        acks: acks_out,
        control: control_out,
        deliveries: deliveries_out,
        window: Window::new(receive_maximum),
    };
    hub.tracker.spawn(outbound.run());
    let mut connection = Connection {
        client: client_hash(&id),
        number,
        wire: incoming,
        acks,
        control,
        deliveries,
        filters: HashSet::new(),
        messages: Vec::new(),
        bytes: 0,
        rights,
        throttle: hub.limits.throttle(),
        hub: Arc::clone(&hub),
    };
    let end = connection
        .read(&mut read, &mut buffer, keep_alive, &kicked)
        .await;
    tracing::debug!(client = %id, reason = ?end, "an MQTT client leaves");
    connection.finish(end);
    hub.leave(&id, number);
    hub.counters.broker.connections.sub(1);
    drop(connection);
    if end.is_some() {
        linger(&mut read, &mut buffer).await;
    }
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
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        read: &mut R,
        buffer: &mut BytesMut,
        keep_alive: u16,
        kicked: &CancellationToken,
    ) -> End {
        let patience = match keep_alive {
            0 => Duration::MAX,
            secs => Duration::from_millis(u64::from(secs) * 1_500),
        };
        let hub = Arc::clone(&self.hub);
        loop {
            let read_all = self.take_packets(buffer);
            let handed = tokio::select! {
                biased;
                handed = self.hand_over() => handed,
                () = kicked.cancelled() => Err(Some(Reason::SessionTakenOver)),
                () = hub.stop.cancelled() => Err(Some(Reason::ServerShuttingDown)),
            };
            match read_all.and_then(|all| handed.map(|()| all)) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(end) => return end,
            }
            buffer.reserve(READ_BYTES);
            let received = tokio::select! {
                received = timeout(patience, read.read_buf(buffer)) => received,
                () = kicked.cancelled() => return Some(Reason::SessionTakenOver),
                () = hub.stop.cancelled() => return Some(Reason::ServerShuttingDown),
            };
            match received {
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(_)) => {}
                Err(_) => return Some(Reason::KeepAliveTimeout),
            }
        }
    }

    /// Takes packets from the buffer until a group of messages is full; true when none is left.
    fn take_packets(&mut self, buffer: &mut BytesMut) -> Result<bool, End> {
        while self.messages.len() < GROUP {
            match self.wire.decode(buffer) {
                Ok(Some(packet)) => self.handle(packet)?,
                Ok(None) => return Ok(true),
                Err(error) => {
                    tracing::info!(%error, "a malformed or oversized MQTT packet");
                    return Err(Some(error.to_reason_code()));
                }
            }
        }
        Ok(false)
    }

    fn handle(&mut self, packet: Incoming) -> Result<(), End> {
        match packet {
            Incoming::Publish(publish) => self.publish(&publish)?,
            Incoming::PublishAck(id) => self.tell(Control::Delivered(id)),
            Incoming::Subscribe {
                id,
                filters,
                identified,
            } => self.subscribe(id, filters, identified),
            Incoming::Unsubscribe { id, filters } => self.unsubscribe(id, &filters),
            Incoming::Ping => self.tell(Control::Send(Outgoing::Pong)),
            Incoming::Disconnect => return Err(None),
            Incoming::Unexpected(packet) => {
                tracing::info!(packet, "an MQTT client sent what it may not send");
                return Err(Some(Reason::ProtocolError));
            }
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), End> {
        if publish.qos == QoS::ExactlyOnce {
            tracing::info!("an MQTT client published at QoS 2, which this broker does not do");
            return Err(Some(Reason::QosNotSupported));
        }
        let properties = publish.properties.as_ref();
        if properties.is_some_and(|p| p.topic_alias.is_some()) {
            return Err(Some(Reason::TopicAliasInvalid));
        }
        if !topic::is_topic_name(&publish.topic) || !limits::takes_topic(&publish.topic) {
            return Err(Some(Reason::TopicNameInvalid));
        }
        if !self.rights.publish(&publish.topic) {
            return Err(Some(Reason::NotAuthorized));
        }
        self.hub.route(publish, self.number);
        let message = Message {
            client: self.client,
            packet_id: publish.packet_id.map_or(0, NonZeroU16::get),
            dup: publish.dup,
            received: now_micros(),
            topic: publish.topic.as_bytes().clone(),
            payload: publish.payload.clone(),
        };
        self.bytes += message.encoded_len();
        self.messages.push(message);
        Ok(())
    }

    /// Gives the messages read so far to the log.
    async fn hand_over(&mut self) -> Result<(), End> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let pause = self.throttle.take(self.messages.len(), self.bytes);
        if !pause.is_zero() {
            self.hub.counters.broker.throttled.add(1);
            tokio::time::sleep(pause).await;
        }
        let closed = |_| Some(Reason::ServerShuttingDown);
        let permit = self.hub.log.reserve(self.bytes).await.map_err(closed)?;
        let messages = std::mem::take(&mut self.messages);
        self.bytes = 0;
        Counters::add(&self.hub.counters.received, messages.len());
        let acks = self.acks.clone();
        permit.submit(Group { messages, acks }).map_err(closed)
    }

    fn subscribe(&mut self, id: NonZeroU16, filters: Vec<FilterOptions>, identified: bool) {
        let mut status = Vec::with_capacity(filters.len());
        for (filter, options) in filters {
            status.push(if identified {
                SubscribeAckReason::SubscriptionIdentifiersNotSupported
            } else if filter.starts_with("$share/") {
                SubscribeAckReason::SharedSubscriptionNotSupported
            } else if topic::check_filter(&filter).is_err() {
                SubscribeAckReason::TopicFilterInvalid
            } else if !self.rights.subscribe(&filter) {
                SubscribeAckReason::NotAuthorized
            } else {
                let subscription = Subscription {
                    connection: self.number,
                    qos: options.qos.less_value(QoS::AtLeastOnce),
                    no_local: options.no_local,
                    retain_as_published: options.retain_as_published,
                    deliveries: self.deliveries.clone(),
                };
                let granted = match subscription.qos {
                    QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
                    _ => SubscribeAckReason::GrantedQos1,
                };
                self.hub.subscribe(&filter, subscription);
                self.filters.insert(filter);
                granted
            });
        }
        self.tell(Control::Send(Outgoing::SubscribeAck { id, status }));
    }

    fn unsubscribe(&mut self, id: NonZeroU16, filters: &[String]) {
        let mut status = Vec::with_capacity(filters.len());
        for filter in filters {
            self.filters.remove(filter);
            let there = self.hub.unsubscribe(filter, self.number);
            status.push(if there {
                UnsubscribeAckReason::Success
            } else {
                UnsubscribeAckReason::NoSubscriptionExisted
            });
        }
        self.tell(Control::Send(Outgoing::UnsubscribeAck { id, status }));
    }

    fn finish(&mut self, end: End) {
        for filter in self.filters.drain() {
            self.hub.unsubscribe(&filter, self.number);
        }
        self.tell(Control::Finish(end));
    }

    /// The writing half ends by itself when the client stops reading; then there is nobody to tell.
    fn tell(&self, control: Control) {
        let _ = self.control.send(control);
    }
}
