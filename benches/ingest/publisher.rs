//! A raw MQTT 3.1.1 publisher at QoS 1, so that the sender is not what is measured.
//!
//! Client libraries do one channel operation and one write per message; this one writes packets in
//! blocks and reads PUBACKs in blocks (MQTT 3.1.1, sections 3.1, 3.3 and 3.4).

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Messages that may be unacknowledged on one connection.
const WINDOW: u64 = 2_000;
/// Messages written at once.
const BLOCK: u64 = 200;

/// One connection to a broker.
pub(crate) struct Publisher {
    stream: TcpStream,
    next_id: u16,
    unread: Vec<u8>,
}

impl Publisher {
    pub(crate) fn connect(broker: SocketAddr, client_id: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        put_string(&mut body, client_id);
        stream.write_all(&packet(0x10, &body))?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        if connack[3] != 0 {
            return Err(Error::new(
                ErrorKind::ConnectionRefused,
                format!("CONNACK {}", connack[3]),
            ));
        }
        Ok(Self {
            stream,
            next_id: 0,
            unread: Vec::new(),
        })
    }

    /// Publishes `count` messages made by `payload` and returns when the last one is acknowledged.
    pub(crate) fn publish(
        &mut self,
        topic: &str,
        count: u64,
        mut payload: impl FnMut(u64) -> String,
    ) -> Result<()> {
        let (mut sent, mut acked) = (0, 0);
        let mut block = Vec::new();
        while acked < count {
            let room = (WINDOW - (sent - acked)).min(BLOCK).min(count - sent);
            block.clear();
            for n in sent..sent + room {
                self.encode(&mut block, topic, payload(n).as_bytes());
            }
            self.stream.write_all(&block)?;
            sent += room;
            if sent == count || sent - acked > WINDOW - BLOCK {
                acked += self.read_acks()?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<u8>, topic: &str, payload: &[u8]) {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
        put_string(&mut body, topic);
        body.extend(self.next_id.to_be_bytes());
        body.extend(payload);
        out.extend(packet(0x32, &body));
    }

    /// Blocks until at least one PUBACK is read; the number read.
    fn read_acks(&mut self) -> Result<u64> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend(&buffer[..read]);
        let whole = self.unread.len() / 4;
        if self.unread.chunks_exact(4).any(|ack| ack[0] != 0x40) {
            return Err(Error::new(ErrorKind::InvalidData, "expected a PUBACK"));
        }
        self.unread.drain(..whole * 4);
        Ok(whole as u64)
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut rest = body.len();
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        out.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    out.extend(body);
    out
}
