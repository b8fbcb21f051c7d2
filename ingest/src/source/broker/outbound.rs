//! The writing half of a connection: acknowledgements and answers in batches, then deliveries.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v5::DisconnectReasonCode;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::time::timeout;

use super::router::Delivery;
use super::wire::{self, Outgoing, Wire};

/// Bytes collected before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// A client that takes nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the reading half asks of the writing half.
#[derive(Debug)]
pub(super) enum Control {
    Send(Outgoing),
    /// The client has acknowledged a delivery.
    Delivered(u16),
    /// Say goodbye with this reason once the last acknowledgement is out.
    Finish(Option<DisconnectReasonCode>),
}

pub(super) struct Outbound<W> {
    pub(super) socket: W,
    pub(super) wire: Wire,
    pub(super) acks: UnboundedReceiver<Vec<u16>>,
    pub(super) control: UnboundedReceiver<Control>,
    pub(super) deliveries: Receiver<Delivery>,
    pub(super) window: Window,
}

/// Packet ids of deliveries the client has not acknowledged.
pub(super) struct Window {
    under_way: HashSet<u16>,
    last: u16,
    size: usize,
}

impl Window {
    pub(super) fn new(size: u16) -> Self {
        Self {
            under_way: HashSet::new(),
            last: 0,
            size: usize::from(size.max(1)),
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.size
    }

    /// A packet id that is not under way.
    fn take(&mut self) -> Option<NonZeroU16> {
        if !self.has_room() {
            return None;
        }
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.under_way.insert(self.last) {
                return NonZeroU16::new(self.last);
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> Outbound<W> {
    /// Writes until the reading half is gone and every message it logged is acknowledged, or until
    /// the client stops reading.
    pub(super) async fn run(mut self) {
        let mut out = BytesMut::with_capacity(BATCH_BYTES);
        let mut reason = None;
        let (mut acks_open, mut control_open) = (true, true);
        while acks_open || control_open {
            tokio::select! {
                acks = self.acks.recv(), if acks_open => match acks {
                    Some(ids) => encode_acks(&ids, &mut out),
                    None => acks_open = false,
                },
                control = self.control.recv(), if control_open => match control {
                    Some(control) => self.obey(control, &mut reason, &mut out),
                    None => control_open = false,
                },
                Some(delivery) = self.deliveries.recv(), if self.window.has_room() => {
                    self.deliver(delivery, &mut out);
                }
            }
            self.take_more(&mut reason, &mut out);
            if !self.write(&mut out).await {
                return;
            }
        }
        if let Some(reason) = reason {
            self.encode(Outgoing::Disconnect(reason), &mut out);
            self.write(&mut out).await;
        }
        // The client may be gone already.
        let _ = self.socket.shutdown().await;
    }

    /// Adds what is there without waiting.
    fn take_more(&mut self, reason: &mut Option<DisconnectReasonCode>, out: &mut BytesMut) {
        while out.len() < BATCH_BYTES {
            if let Ok(ids) = self.acks.try_recv() {
                encode_acks(&ids, out);
            } else if let Ok(control) = self.control.try_recv() {
                self.obey(control, reason, out);
            } else if self.window.has_room()
                && let Ok(delivery) = self.deliveries.try_recv()
            {
                self.deliver(delivery, out);
            } else {
                return;
            }
        }
    }

    fn obey(
        &mut self,
        control: Control,
        reason: &mut Option<DisconnectReasonCode>,
        out: &mut BytesMut,
    ) {
        match control {
            Control::Send(packet) => self.encode(packet, out),
            Control::Delivered(id) => {
                self.window.under_way.remove(&id);
            }
            Control::Finish(why) => *reason = why,
        }
    }

    fn deliver(&mut self, delivery: Delivery, out: &mut BytesMut) {
        let mut publish = delivery.publish;
        if publish.qos == QoS::AtLeastOnce {
            publish.packet_id = self.window.take();
        }
        let id = publish.packet_id;
        let before = out.len();
        if let Err(error) = self.wire.encode(Outgoing::Publish(publish), out) {
            tracing::debug!(%error, "a message cannot be delivered");
            out.truncate(before);
            if let Some(id) = id {
                self.window.under_way.remove(&id.get());
            }
        }
    }

    fn encode(&mut self, packet: Outgoing, out: &mut BytesMut) {
        let before = out.len();
        if let Err(error) = self.wire.encode(packet, out) {
            tracing::debug!(%error, "a packet cannot be sent");
            out.truncate(before);
        }
    }

    /// Writes everything collected; false when the client does not take it.
    async fn write(&mut self, out: &mut BytesMut) -> bool {
        let write = async {
            self.socket.write_all_buf(out).await?;
            // TLS and WebSocket keep back what the socket did not take.
            self.socket.flush().await
        };
        matches!(timeout(WRITE_TIMEOUT, write).await, Ok(Ok(())))
    }
}

fn encode_acks(ids: &[u16], out: &mut BytesMut) {
    for id in ids {
        wire::encode_ack(*id, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_ids_wrap_and_are_not_used_twice() {
        let mut window = Window::new(2);
        window.last = u16::MAX;
        assert_eq!(window.take().map(NonZeroU16::get), Some(1));
        assert_eq!(window.take().map(NonZeroU16::get), Some(2));
        assert_eq!(window.take(), None);
        window.under_way.remove(&1);
        window.last = u16::MAX;
        assert_eq!(window.take().map(NonZeroU16::get), Some(1));
    }
}
