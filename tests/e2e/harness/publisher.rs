//! Publishers that hold a broker to its word: MQTT 3.1.1, QoS 1, a persistent session, and after
//! every break of the connection all that was not acknowledged again, marked as redelivered.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Messages under way at once.
const WINDOW: usize = 256;
/// How long an answer may take before the connection counts as broken.
const ANSWER: Duration = Duration::from_secs(10);

/// Publishers on threads of their own, each at its full rate.
pub(crate) struct Publishers {
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<u64>>,
}

/// One publisher; its messages are numbered from 0.
struct Publisher {
    number: usize,
    port: u16,
    topic: String,
    /// The number of the oldest message without an acknowledgement, and that of the next one.
    first: u64,
    next: u64,
    /// Whether each message under way has its acknowledgement, oldest first.
    done: VecDeque<bool>,
    stop: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
}

impl Publishers {
    /// `count` publishers to the port, the topic of each made by `topic` from its number.
    pub(crate) fn start(count: usize, port: u16, topic: impl Fn(usize) -> String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acked = Arc::new(AtomicU64::new(0));
        let threads = (0..count).map(|number| {
            let publisher = Publisher {
                number,
                port,
                topic: topic(number),
                first: 0,
                next: 0,
                done: VecDeque::new(),
                stop: Arc::clone(&stop),
                acked: Arc::clone(&acked),
            };
            std::thread::spawn(move || publisher.run())
        });
        Self {
            threads: threads.collect(),
            stop,
            acked,
        }
    }

    /// Acknowledgements so far, of all publishers.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Sends nothing new, waits until all is acknowledged, and returns how many messages each
    /// publisher has sent.
    pub(crate) fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

impl Publisher {
    fn run(mut self) -> u64 {
        while !self.is_done() {
            // Broken: the broker was killed, and comes again.
            if self.connection().is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.next
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed) && self.done.is_empty()
    }

    /// Publishes over one connection until it breaks or everything is done.
    fn connection(&mut self) -> io::Result<()> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        socket.write_all(&connect(&format!("publisher-{}", self.number)))?;
        let mut connack = [0; 4];
        socket.read_exact(&mut connack)?;
        if connack[0] != 0x20 || connack[3] != 0 {
            return Err(io::Error::other("refused"));
        }
        let mut out = Vec::new();
        for (n, done) in (self.first..).zip(&self.done) {
            if !done {
                self.publish(n, true, &mut out);
            }
        }
        let mut answers = Vec::new();
        let mut buffer = [0; 4096];
        while !self.is_done() {
            while self.done.len() < WINDOW && !self.stop.load(Ordering::Relaxed) {
                self.publish(self.next, false, &mut out);
                self.done.push_back(false);
                self.next += 1;
            }
            socket.write_all(&out)?;
            out.clear();
            let read = socket.read(&mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answers.extend_from_slice(&buffer[..read]);
            let whole = answers.len() / 4 * 4;
            for puback in answers[..whole].chunks_exact(4) {
                assert_eq!(puback[..2], [0x40, 2], "not a PUBACK");
                self.acknowledged(u16::from_be_bytes([puback[2], puback[3]]));
            }
            answers.drain(..whole);
        }
        socket.write_all(&[0xe0, 0])
    }

    fn publish(&self, n: u64, dup: bool, out: &mut Vec<u8>) {
        let payload = format!(
            "{{\"ts\":{},\"publisher\":{},\"n\":{n}}}",
            1_700_000_000_000 + n,
            self.number
        );
        let length = 2 + self.topic.len() + 2 + payload.len();
        assert!(length < 128, "a length of one byte");
        out.push(if dup { 0x3a } else { 0x32 });
        out.push(length as u8);
        out.extend_from_slice(&(self.topic.len() as u16).to_be_bytes());
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(&packet_id(n).to_be_bytes());
        out.extend_from_slice(payload.as_bytes());
    }

    fn acknowledged(&mut self, id: u16) {
        let under_way = self.first..self.next;
        let mut sent = under_way.zip(self.done.iter_mut());
        // An acknowledgement for what was acknowledged before is a repeated one, which is allowed.
        if let Some((_, done)) = sent.find(|(n, done)| !**done && packet_id(*n) == id) {
            *done = true;
            self.acked.fetch_add(1, Ordering::Relaxed);
        }
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.first += 1;
        }
    }
}

/// Packet ids go round far slower than the window, so that each names one message under way.
fn packet_id(n: u64) -> u16 {
    (n % 65_535) as u16 + 1
}

fn connect(client: &str) -> Vec<u8> {
    let mut packet = vec![0x10, (12 + client.len()) as u8];
    packet.extend_from_slice(b"\0\x04MQTT\x04\0\0\0");
    packet.extend_from_slice(&(client.len() as u16).to_be_bytes());
    packet.extend_from_slice(client.as_bytes());
    packet
}
