//! Raw MQTT 3.1.1 publishers at QoS 1, so that the sender is not what is measured.
//!
//! Client libraries do one channel operation and one write per message; these write packets in
//! blocks and read PUBACKs in blocks (MQTT 3.1.1, sections 3.1 and 3.4).

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::message::{self, Ring};

/// Messages that may be unacknowledged on one connection.
const WINDOW: u64 = 4_096;
/// Messages written at once.
const BLOCK: u64 = 256;
/// How often a paced publisher wakes.
const TICK: Duration = Duration::from_millis(2);

/// One connection to a broker.
pub(crate) struct Publisher {
    stream: TcpStream,
    id: u16,
    unread: Vec<u8>,
}

impl Publisher {
    pub(crate) fn connect(broker: SocketAddr, client_id: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        message::put_string(&mut body, client_id);
        stream.write_all(&message::packet(0x10, &body))?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        if connack[3] != 0 {
            let refused = format!("CONNACK {}", connack[3]);
            return Err(Error::new(ErrorKind::ConnectionRefused, refused));
        }
        Ok(Self {
            stream,
            id: 0,
            unread: Vec::new(),
        })
    }

    /// The connection alone, for a sender of another kind.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Publishes `count` messages numbered from `first` and returns when all are acknowledged.
    pub(crate) fn publish(&mut self, ring: &mut Ring, first: u64, count: u64) -> Result<()> {
        let (mut sent, mut acked) = (0, 0);
        while acked < count {
            let room = (WINDOW - (sent - acked)).min(BLOCK).min(count - sent);
            if room > 0 {
                sent += self.send(ring, first + sent, room)?;
            }
            if sent == count || sent - acked > WINDOW - BLOCK {
                acked += self.read_acks()?;
            }
        }
        Ok(())
    }

    /// Publishes at `rate` messages a second until told to stop; how many it were.
    fn publish_at(&mut self, ring: &mut Ring, rate: f64, stop: &AtomicBool) -> Result<u64> {
        let started = Instant::now();
        let (mut sent, mut acked) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let due = (started.elapsed().as_secs_f64() * rate) as u64;
            while sent < due {
                sent += self.send(ring, sent, BLOCK.min(due - sent))?;
                if sent - acked > WINDOW / 2 {
                    acked += self.read_acks()?;
                }
            }
            std::thread::sleep(TICK);
        }
        while acked < sent {
            acked += self.read_acks()?;
        }
        Ok(sent)
    }

    /// Publishes one probe and returns when it is acknowledged.
    pub(crate) fn probe(&mut self, prefix: &str, number: u64) -> Result<()> {
        self.id = self.id.checked_add(1).unwrap_or(1);
        self.stream
            .write_all(&message::probe(prefix, self.id, number))?;
        while self.read_acks()? == 0 {}
        Ok(())
    }

    fn send(&mut self, ring: &mut Ring, number: u64, most: u64) -> Result<u64> {
        let (packets, count) = ring.packets(most, &mut self.id, number);
        self.stream.write_all(packets)?;
        Ok(count)
    }

    /// Blocks until something is read; the number of whole PUBACKs in it.
    fn read_acks(&mut self) -> Result<u64> {
        let mut acks = 0;
        read_acks(&mut self.stream, &mut self.unread, |_| acks += 1)?;
        Ok(acks)
    }
}

/// Blocks until something is read; gives the packet id of every whole PUBACK in it to `acked`.
pub(crate) fn read_acks(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    mut acked: impl FnMut(u16),
) -> Result<()> {
    let mut buffer = [0; 16 * 1024];
    let read = stream.read(&mut buffer)?;
    if read == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    unread.extend(&buffer[..read]);
    let whole = unread.len() / 4;
    for ack in unread.chunks_exact(4) {
        if ack[0] != 0x40 {
            return Err(Error::new(ErrorKind::InvalidData, "expected a PUBACK"));
        }
        acked(u16::from_be_bytes([ack[2], ack[3]]));
    }
    unread.drain(..whole * 4);
    Ok(())
}

/// What to publish, over how many connections.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) broker: SocketAddr,
    pub(crate) prefix: &'static str,
    pub(crate) connections: u64,
}

impl Load {
    /// Publishes `messages` in all as fast as the broker takes them; returns once all are
    /// acknowledged, with the time that took.
    pub(crate) fn publish(&self, messages: u64) -> Result<Duration> {
        let share = |p| messages / self.connections + u64::from(p < messages % self.connections);
        let mut publishers = self.connect("publisher")?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let sending: Vec<_> = (0..)
                .zip(&mut publishers)
                .map(|(p, (publisher, ring))| {
                    scope.spawn(move || publisher.publish(ring, 0, share(p)))
                })
                .collect();
            sending.into_iter().try_for_each(|one| joined(one.join()))
        })?;
        Ok(started.elapsed())
    }

    /// Publishes `rate` messages a second in all until the returned guard is stopped.
    pub(crate) fn start(&self, rate: f64) -> Result<Background> {
        let stop = Arc::new(AtomicBool::new(false));
        let rate = rate / self.connections as f64;
        let publishers = self.connect("background")?.into_iter();
        let threads = publishers.map(|(mut publisher, mut ring)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || publisher.publish_at(&mut ring, rate, &stop))
        });
        Ok(Background {
            threads: threads.collect(),
            stop,
        })
    }

    fn connect(&self, name: &str) -> Result<Vec<(Publisher, Ring)>> {
        (0..self.connections)
            .map(|p| {
                let publisher = Publisher::connect(self.broker, &format!("bench-{name}-{p}"))?;
                Ok((publisher, Ring::new(self.prefix, p)))
            })
            .collect()
    }
}

/// Publishers that run until they are stopped.
pub(crate) struct Background {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Result<u64>>>,
}

impl Background {
    /// Stops and returns how many messages were acknowledged.
    pub(crate) fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| joined(thread.join())).sum()
    }
}

pub(crate) fn joined<T>(outcome: std::thread::Result<Result<T>>) -> Result<T> {
    outcome.map_err(|_| Error::other("a publisher panicked"))?
}
