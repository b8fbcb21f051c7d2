//! The writing half of a connection: acknowledgements and answers in batches, then deliveries.
//!
//! What rests on the broker's journal waits at the *gate* until the journal is synced; everything
//! else passes it by.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rmqtt_codec::v5::DisconnectReasonCode as Reason;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::Hub;
use super::connection::LINGER;
use super::debt::{Debt, Owed};
use super::deliver::Batch;
use super::journal::Entry;
use super::publication::Delivery;
use super::session::{Kick, Link, Session};
use super::wire::{self, Ack, AckKind, Outgoing, Wire};

/// Bytes collected before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// Deliveries taken from the session at a time.
const BATCH: usize = 128;
/// What may wait at the gate; no more deliveries are taken from the session meanwhile.
const MOST_GATED: usize = 8 * BATCH;
/// A client that takes nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the reading half asks of the writing half.
#[derive(Debug)]
pub(super) enum Control {
    /// Send this once the journal has come to this number.
    Send(u64, Outgoing),
    /// Say goodbye with this reason once the last acknowledgement is out.
    Finish(Option<Reason>),
}

impl Control {
    /// Sends a PUBREL.
    pub(super) fn release(id: u16) -> Self {
        Self::Send(0, Outgoing::Ack(Ack::ok(AckKind::Release, id)))
    }

    /// What it counts for until it is written.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Send(_, packet) => weight(packet),
            Self::Finish(_) => 0,
        }
    }
}

/// One, and one more for each code that an answer is made of.
fn weight(packet: &Outgoing) -> usize {
    match packet {
        Outgoing::SubscribeAck { status, .. } => 1 + status.len(),
        Outgoing::UnsubscribeAck { status, .. } => 1 + status.len(),
        _ => 1,
    }
}

/// Something that waits for the journal.
#[derive(Debug)]
enum Gated {
    Packet(Outgoing),
    /// Acknowledgements of a group, and for each whether it is of QoS 2.
    Acks(Vec<u16>, Vec<bool>),
    Delivery(Delivery, Option<NonZeroU16>, bool),
}

pub(super) struct Outbound<W> {
    hub: Arc<Hub>,
    session: Arc<Session>,
    connection: u64,
    wire: Wire,
    socket: W,
    acks: UnboundedReceiver<Vec<u16>>,
    owed: UnboundedReceiver<Owed>,
    control: UnboundedReceiver<Control>,
    wake: Arc<Notify>,
    kick: Kick,
    debt: Arc<Debt>,
    durable: watch::Receiver<u64>,
    gate: VecDeque<(u64, Gated)>,
    /// Deliveries are taken from the session.
    delivering: bool,
    /// The client takes nothing any more; what it has sent is still brought to its end.
    dead: bool,
    reason: Option<Reason>,
}

/// Where the writing half hears from the log and from the reading half.
pub(super) type Inputs = (
    UnboundedReceiver<Vec<u16>>,
    UnboundedReceiver<Owed>,
    UnboundedReceiver<Control>,
);

impl<W> Outbound<W> {
    pub(super) fn new(
        hub: &Arc<Hub>,
        session: Arc<Session>,
        link: &Link,
        wire: Wire,
        socket: W,
        (acks, owed, control): Inputs,
        debt: Arc<Debt>,
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            session,
            connection: link.connection,
            wire,
            socket,
            acks,
            owed,
            control,
            wake: Arc::clone(&link.wake),
            kick: link.kick.clone(),
            debt,
            durable: hub.journal.durable(),
            gate: VecDeque::new(),
            delivering: true,
            dead: false,
            reason: None,
        }
    }
}

impl<W: AsyncWrite + Unpin> Outbound<W> {
    /// Writes until the reading half is gone and every message it logged is routed and acknowledged.
    pub(super) async fn run(mut self) {
        let mut out = BytesMut::with_capacity(BATCH_BYTES);
        let (mut acks_open, mut control_open) = (true, true);
        while acks_open || control_open || !self.gate.is_empty() {
            tokio::select! {
                acks = self.acks.recv(), if acks_open => match acks {
                    Some(ids) => self.logged(ids, &mut out),
                    None => acks_open = false,
                },
                control = self.control.recv(), if control_open => match control {
                    Some(control) => self.obey(control, &mut out),
                    None => control_open = false,
                },
                () = self.wake.notified(), if self.delivering => {}
                changed = self.durable.changed(), if !self.gate.is_empty() => {
                    if changed.is_err() {
                        // The journal is gone: what rests on it is never told.
                        self.gate.clear();
                    }
                }
            }
            self.take_more(&mut out);
            // Before: so that deliveries find room. After: what they rest on may be there already.
            self.open_gate(&mut out);
            self.deliver(&mut out);
            self.open_gate(&mut out);
            self.write(&mut out).await;
        }
        if let Some(reason) = self.reason {
            self.encode(Outgoing::Disconnect(reason), &mut out);
            self.write(&mut out).await;
        }
        if !self.dead {
            close(&mut self.socket).await;
        }
    }

    /// Adds what is there without waiting.
    fn take_more(&mut self, out: &mut BytesMut) {
        while out.len() < BATCH_BYTES {
            if let Ok(ids) = self.acks.try_recv() {
                self.logged(ids, out);
            } else if let Ok(control) = self.control.try_recv() {
                self.obey(control, out);
            } else {
                return;
            }
        }
    }

    /// A group of messages is durable: routes it, and acknowledges it.
    fn logged(&mut self, ids: Vec<u16>, out: &mut BytesMut) {
        // What is owed for a group is told before the group goes to the log.
        let owed = self.owed.try_recv().unwrap_or_default();
        let sequence = self.route(&owed);
        // Not before those of an earlier group [MQTT-4.6.0-2].
        if sequence == 0 && self.gate.is_empty() {
            self.acknowledge(&ids, &owed.twos, out);
        } else {
            self.gate.push_back((sequence, Gated::Acks(ids, owed.twos)));
        }
    }

    fn route(&self, owed: &Owed) -> u64 {
        if owed.routes.is_empty() {
            return 0;
        }
        let mut batch = Batch::new(&self.hub);
        for route in &owed.routes {
            let first = route.hold.is_none_or(|id| batch.own(&self.session, id));
            if let Some(publication) = route.publication.as_ref().filter(|_| first) {
                batch.publish(publication, self.session.number);
            }
        }
        self.debt.settle_bytes(owed.bytes);
        batch.finish()
    }

    fn acknowledge(&self, ids: &[u16], twos: &[bool], out: &mut BytesMut) {
        let is_v5 = self.wire.is_v5();
        let mut settled = 0;
        for (at, id) in ids.iter().enumerate() {
            let two = twos.get(at).copied().unwrap_or(false);
            let kind = if two {
                AckKind::Receive
            } else {
                AckKind::Acknowledge
            };
            settled += usize::from(!two);
            wire::encode_ack(Ack::ok(kind, *id), is_v5, out);
        }
        self.debt.settle(settled);
        self.debt.settle_group(ids.len());
    }

    fn obey(&mut self, control: Control, out: &mut BytesMut) {
        match control {
            Control::Send(0, packet) => self.send(packet, out),
            Control::Send(sequence, packet) => {
                self.gate.push_back((sequence, Gated::Packet(packet)));
            }
            Control::Finish(reason) => {
                self.reason = reason;
                self.delivering = false;
            }
        }
    }

    /// Sends what waited for the journal and has what it waited for.
    fn open_gate(&mut self, out: &mut BytesMut) {
        if self.gate.is_empty() {
            return;
        }
        let durable = *self.durable.borrow_and_update();
        while let Some((_, gated)) = self.gate.pop_front_if(|(sequence, _)| *sequence <= durable) {
            match gated {
                Gated::Packet(packet) => self.send(packet, out),
                Gated::Acks(ids, twos) => self.acknowledge(&ids, &twos, out),
                Gated::Delivery(delivery, id, dup) => {
                    self.encode_delivery(&delivery, id, dup, out);
                }
            }
        }
    }

    /// Takes deliveries from the session as far as the client's window goes.
    fn deliver(&mut self, out: &mut BytesMut) {
        while self.delivers() && out.len() < BATCH_BYTES {
            let Some(mut state) = self.session.of(self.connection) else {
                self.delivering = false;
                return;
            };
            let outbox = state.take_outbox(&self.session, BATCH);
            drop(state);
            if outbox.packets.is_empty() && outbox.entries.is_empty() {
                return;
            }
            let sequence = self.hub.journal.append(outbox.entries);
            // Behind what waits already, so that the order of messages is kept.
            let waiting = self.gate.back().map_or(0, |(sequence, _)| *sequence);
            let sequence = sequence.max(waiting);
            for (delivery, id, dup) in outbox.packets {
                if sequence > 0 {
                    let gated = Gated::Delivery(delivery, id, dup);
                    self.gate.push_back((sequence, gated));
                } else {
                    self.encode_delivery(&delivery, id, dup, out);
                }
            }
        }
        // There may be more: come back when this is written.
        if self.delivers() {
            self.wake.notify_one();
        }
    }

    /// Whether deliveries are taken now. While the journal stands they would pile up here, out of
    /// the bounds of their queue.
    fn delivers(&self) -> bool {
        self.delivering && self.gate.len() < MOST_GATED
    }

    fn encode_delivery(
        &mut self,
        delivery: &Delivery,
        id: Option<NonZeroU16>,
        dup: bool,
        out: &mut BytesMut,
    ) {
        let packet = Outgoing::Publish(delivery.packet(id, dup));
        if self.wire.encode(packet, out).is_ok() {
            return;
        }
        // Too large for this client: as if it had been delivered [MQTT-3.1.2-25].
        tracing::debug!(
            client = self.session.client,
            "a message is too large for its subscriber"
        );
        let Some(id) = id else {
            return;
        };
        if let Some(mut state) = self.session.of(self.connection) {
            state.inflight.refused(id.get());
        }
        self.wake.notify_one();
        if self.session.lasting {
            self.hub.journal.append(vec![Entry::Done {
                session: self.session.number,
                number: delivery.number,
            }]);
        }
    }

    fn send(&mut self, packet: Outgoing, out: &mut BytesMut) {
        self.debt.settle_answer(weight(&packet));
        if let Outgoing::Ack(ack) = &packet
            && self.ends_exchange(ack)
        {
            self.debt.settle(1);
        }
        self.encode(packet, out);
    }

    /// Whether the client may send another message for this acknowledgement of one of its own. A
    /// PUBREC with an error exists only in MQTT 5; at QoS 2 it is the PUBREL that tells, to the
    /// reading half, which knows whether this connection has taken the message.
    fn ends_exchange(&self, ack: &Ack) -> bool {
        match ack.kind {
            AckKind::Acknowledge => true,
            AckKind::Receive => self.wire.is_v5() && ack.reason >= 0x80,
            AckKind::Release | AckKind::Complete => false,
        }
    }

    fn encode(&mut self, packet: Outgoing, out: &mut BytesMut) {
        if self.wire.encode(packet, out).is_err() {
            tracing::debug!(
                client = self.session.client,
                "a packet is too large for its client"
            );
        }
    }

    /// Writes everything collected, unless the client takes nothing any more.
    async fn write(&mut self, out: &mut BytesMut) {
        if self.dead || out.is_empty() {
            out.clear();
            return;
        }
        let write = async {
            self.socket.write_all_buf(out).await?;
            // TLS and WebSocket keep back what the socket did not take.
            self.socket.flush().await
        };
        if !matches!(timeout(WRITE_TIMEOUT, write).await, Ok(Ok(()))) {
            self.dead = true;
            self.delivering = false;
            out.clear();
            self.kick.kick(Reason::UnspecifiedError);
        }
    }
}

/// Ends the stream in order, unless the client is gone already or takes nothing any more.
async fn close<W: AsyncWrite + Unpin>(socket: &mut W) {
    let _ = timeout(LINGER, socket.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    /// A TLS or WebSocket stream whose client reads nothing.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_stream_that_does_not_end_is_left() {
        close(&mut Stuck).await;
    }
}
