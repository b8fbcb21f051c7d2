//! The writing half of a connection: everything owed goes out in one write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use catalog::{Error, Result};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{interval, timeout};

/// Bytes collected before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// A broker that takes nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// PINGREQ and DISCONNECT, which both versions write alike.
const PING: [u8; 2] = [0xc0, 0];
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Acknowledgements of messages that were read and are not written yet.
#[derive(Default)]
pub(super) struct Owed {
    count: AtomicUsize,
    paid: Notify,
}

impl Owed {
    pub(super) fn add(&self, n: usize) {
        self.count.fetch_add(n, Ordering::Relaxed);
    }

    fn pay(&self, n: usize) {
        self.count.fetch_sub(n, Ordering::Relaxed);
        self.paid.notify_one();
    }

    /// Waits until fewer than `most` are owed.
    pub(super) async fn below(&self, most: usize) {
        while self.count.load(Ordering::Relaxed) >= most {
            self.paid.notified().await;
        }
    }
}

/// Writes to one connection.
pub(super) struct Writer<W> {
    pub(super) out: W,
    /// Packet ids whose messages are durable.
    pub(super) acks: UnboundedReceiver<Vec<u16>>,
    /// Packets ready to send.
    pub(super) packets: UnboundedReceiver<BytesMut>,
    pub(super) owed: Arc<Owed>,
    pub(super) ping_every: Duration,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes until the last acknowledgement that can come is out, and says goodbye.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut bytes = BytesMut::with_capacity(BATCH_BYTES);
        let mut ping = interval(self.ping_every);
        ping.reset();
        let mut open = true;
        loop {
            let mut paid = 0;
            tokio::select! {
                packet = self.packets.recv(), if open => match packet {
                    Some(packet) => bytes.extend_from_slice(&packet),
                    None => open = false,
                },
                acks = self.acks.recv() => match acks {
                    Some(ids) => paid += encode(&ids, &mut bytes),
                    None => break,
                },
                _ = ping.tick() => bytes.put_slice(&PING),
            }
            while bytes.len() < BATCH_BYTES
                && let Ok(ids) = self.acks.try_recv()
            {
                paid += encode(&ids, &mut bytes);
            }
            self.write(&mut bytes).await?;
            self.owed.pay(paid);
        }
        bytes.put_slice(&DISCONNECT);
        self.write(&mut bytes).await
    }

    async fn write(&mut self, bytes: &mut BytesMut) -> Result<()> {
        let write = async {
            self.out.write_all_buf(bytes).await?;
            self.out.flush().await
        };
        let gone = |why: String| Error::unavailable(format!("MQTT broker: {why}"));
        match timeout(WRITE_TIMEOUT, write).await {
            Ok(outcome) => outcome.map_err(|e| gone(e.to_string())),
            Err(_) => Err(gone("it has taken nothing for long".to_owned())),
        }
    }
}

/// Appends PUBACKs, which in both versions are these four bytes when all is well.
fn encode(ids: &[u16], bytes: &mut BytesMut) -> usize {
    bytes.reserve(4 * ids.len());
    for id in ids {
        bytes.put_slice(&[0x40, 2]);
        bytes.put_u16(*id);
    }
    ids.len()
}
