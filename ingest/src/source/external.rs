//! A broker elsewhere, through rumqttc: MQTT 5, a persistent session, acknowledged by hand.
//!
//! Every connection gets its own event loop and its own acknowledging task. So nothing of a broken
//! connection is left over: neither packets it had read, which the broker sends again, nor
//! acknowledgements, which would now confirm other messages under the same packet ids.

use std::pin::pin;
use std::sync::Arc;

use catalog::{Error, Result};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, Publish, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::subscriptions::Subscriptions;
use super::{client_hash, now_micros};
use crate::backoff::Backoff;
use crate::config::{IngestConfig, MqttConfig};
use crate::stats::Counters;
use crate::topic;
use crate::wal::{Acks, Group, LogWriter, Message};

/// The largest packet MQTT has; anything the broker takes can be read, large ones become dead letters.
const MAX_PACKET: u32 = 268_435_460;
/// How long the broker keeps the session of an absent ingester: a week.
const SESSION_EXPIRY_SECS: u32 = 7 * 24 * 3600;
/// A group this large goes to the log as soon as there is room, even while more is coming.
const GROUP: usize = 512;
/// Bytes that wait here for room in the log before reading stops.
const MOST_WAITING: usize = 64 << 20;
/// Acknowledgements that may be owed; as many again may be on their way to the broker unread.
const MOST_OWED: usize = crate::wal::DEDUP_WINDOW / 2;

/// The connection to an external broker.
pub(crate) struct External {
    options: MqttOptions,
    client: u64,
    receive_maximum: usize,
    subscriptions: Subscriptions,
    log: LogWriter,
    counters: Arc<Counters>,
    subscribed: watch::Sender<bool>,
}

/// Messages read but not handed to the log yet, and acknowledgements that are owed.
#[derive(Default)]
struct Waiting {
    messages: Vec<Message>,
    bytes: usize,
    /// Messages handed to the log whose acknowledgement is not written yet.
    owed: usize,
}

impl External {
    /// # Errors
    /// `InvalidInput` for filters that would bring messages twice.
    pub(crate) fn new(
        config: &IngestConfig,
        mqtt: &MqttConfig,
        ingester: &str,
        log: LogWriter,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let client_id = match mqtt.client_id.as_str() {
            "" => format!("pumphouse-{ingester}"),
            id => id.to_owned(),
        };
        let (host, port) = mqtt.address()?;
        let mut options = MqttOptions::new(&client_id, host, port);
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_EXPIRY_SECS))
            .set_receive_maximum(Some(mqtt.receive_maximum))
            .set_max_packet_size(Some(MAX_PACKET))
            .set_manual_acks(true)
            .set_outgoing_inflight_upper_limit(1);
        if let Some(user) = &mqtt.username {
            options.set_credentials(user, mqtt.password.as_deref().unwrap_or_default());
        }
        Ok(Self {
            options,
            client: client_hash(&client_id),
            receive_maximum: usize::from(mqtt.receive_maximum),
            subscriptions: Subscriptions::new(&config.data_dir, filters(config, mqtt)?)?,
            log,
            counters,
            subscribed: watch::Sender::new(false),
        })
    }

    /// True once the broker has confirmed a subscription: it keeps every message from then on.
    pub(crate) fn subscribed(&self) -> watch::Receiver<bool> {
        self.subscribed.subscribe()
    }

    /// Connects, and connects again, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new();
        loop {
            let mut connected = false;
            let error = tokio::select! {
                error = self.connection(&mut connected) => error,
                () = stop.cancelled() => return,
            };
            if connected {
                backoff = Backoff::new();
            }
            tracing::warn!(%error, "the connection to the MQTT broker is gone, connecting again");
            self.counters.set_error(Some(error.to_string()));
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Serves one connection until it breaks.
    async fn connection(&self, connected: &mut bool) -> Error {
        // The channel takes every acknowledgement that can be outstanding, and the subscriptions.
        let capacity = self.receive_maximum + self.subscriptions.stale.len() + 8;
        let (client, mut events) = AsyncClient::new(self.options.clone(), capacity);
        let (acks, acked) = mpsc::unbounded_channel();
        tokio::spawn(acknowledge(client.clone(), acked));
        let mut waiting = Waiting::default();
        loop {
            match self.next_event(&mut events, &mut waiting, &acks).await {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.take(publish, &mut waiting),
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    *connected = true;
                    if let Err(error) = self.subscribe(&client, &ack) {
                        return error;
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let refused = |code: &&SubscribeReasonCode| {
                        !matches!(code, SubscribeReasonCode::Success(_))
                    };
                    if let Some(code) = ack.return_codes.iter().find(refused) {
                        return Error::new(
                            catalog::ErrorKind::PermissionDenied,
                            format!("the MQTT broker refused a subscription: {code:?}"),
                        )
                        .with_hint("check the broker's access rules for this client");
                    }
                    if let Err(error) = self.settle() {
                        return error;
                    }
                }
                Ok(Event::Outgoing(Outgoing::PubAck(_))) => {
                    waiting.owed = waiting.owed.saturating_sub(1);
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    /// The next event; meanwhile waiting messages go to the log. The poller itself never waits for
    /// the log, so that pings and acknowledgements go on, unless very much waits already.
    async fn next_event(
        &self,
        events: &mut EventLoop,
        waiting: &mut Waiting,
        acks: &Acks,
    ) -> Result<Event> {
        // Brokers may send far more than the receive maximum. Owing more acknowledgements than the
        // dedup window covers could double rows after a crash, so what comes then waits here.
        let may_log = waiting.owed < MOST_OWED;
        if may_log
            && waiting.messages.len() >= GROUP
            && let Some(permit) = self.log.try_reserve(waiting.bytes)
        {
            permit.submit(waiting.group(acks))?;
        }
        // Dropping the future half way could lose an acknowledgement: it is polled to its end.
        let mut poll = pin!(events.poll());
        loop {
            tokio::select! {
                biased;
                event = &mut poll, if waiting.bytes < MOST_WAITING => {
                    return event.map_err(|e| broken(&e));
                }
                permit = self.log.reserve(waiting.bytes), if may_log && waiting.bytes > 0 => {
                    permit?.submit(waiting.group(acks))?;
                }
                else => {
                    return Err(Error::unavailable(
                        "the MQTT broker sends much more than the receive maximum allows",
                    )
                    .with_hint("update the broker: Mosquitto up to 2.0.11 does so"));
                }
            }
        }
    }

    fn take(&self, publish: Publish, waiting: &mut Waiting) {
        Counters::add(&self.counters.received, 1);
        let message = Message {
            client: self.client,
            packet_id: publish.pkid,
            dup: publish.dup,
            received: now_micros(),
            topic: publish.topic,
            payload: publish.payload,
        };
        waiting.bytes += message.encoded_len();
        waiting.messages.push(message);
    }

    /// Gives back the filters of earlier settings and subscribes to the present ones. A session
    /// may have them already: they are renewed, the streams may have changed.
    fn subscribe(&self, client: &AsyncClient, ack: &ConnAck) -> Result<()> {
        tracing::info!(
            session_present = ack.session_present,
            "connected to the MQTT broker"
        );
        let failed = |e| Error::unavailable("cannot subscribe").with_source(e);
        for filter in &self.subscriptions.stale {
            client.try_unsubscribe(filter).map_err(failed)?;
        }
        let filters = self.subscriptions.wanted.iter().map(|path| Filter {
            // A retained message is an old one: sent again with every new session, it would double.
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::new(path, QoS::AtLeastOnce)
        });
        client.try_subscribe_many(filters).map_err(failed)
    }

    /// The broker has confirmed the subscription, and before it what was given back: a broker
    /// answers a client's packets in their order.
    fn settle(&self) -> Result<()> {
        if !self.subscribed.send_replace(true) {
            self.subscriptions.settled()?;
        }
        Ok(())
    }
}

impl Waiting {
    fn group(&mut self, acks: &Acks) -> Group {
        self.bytes = 0;
        self.owed += self.messages.iter().filter(|m| m.packet_id != 0).count();
        Group {
            messages: std::mem::take(&mut self.messages),
            acks: acks.clone(),
        }
    }
}

/// Sends acknowledgements as the log completes them, until the connection is gone.
async fn acknowledge(client: AsyncClient, mut acked: mpsc::UnboundedReceiver<Vec<u16>>) {
    while let Some(packet_ids) = acked.recv().await {
        for pkid in packet_ids {
            let publish = Publish {
                pkid,
                qos: QoS::AtLeastOnce,
                ..Publish::default()
            };
            if client.ack(&publish).await.is_err() {
                return;
            }
        }
    }
}

fn broken(error: &ConnectionError) -> Error {
    Error::unavailable(format!("MQTT broker: {error}"))
        .with_hint("check the broker's address, that it runs, and the credentials")
}

/// What to subscribe to: as configured, or the streams' topics, each matched by one filter only.
fn filters(config: &IngestConfig, mqtt: &MqttConfig) -> Result<Vec<String>> {
    let mut all = mqtt.subscribe.clone();
    if all.is_empty() {
        for stream in &config.streams {
            all.push(stream.template()?.filter());
        }
    }
    let filters = topic::reduce(all);
    for (i, a) in filters.iter().enumerate() {
        if let Some(b) = filters[i + 1..].iter().find(|b| topic::overlaps(a, b)) {
            return Err(Error::invalid(format!(
                "two topic filters overlap ({a} and {b}): brokers may send such messages twice"
            ))
            .with_hint(
                "set `subscribe` to filters that do not overlap, such as one wider filter",
            ));
        }
    }
    Ok(filters)
}
