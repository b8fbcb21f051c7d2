//! The bytes of a log record: length, CRC32, position, and the message as it came.
//!
//! Layout, little endian: `len u32 | crc u32 | position u64 | received i64 | client u64 |
//! packet_id u16 | flags u8 | topic_len u16 | topic | payload`. `len` counts what follows `crc`;
//! the CRC covers `len` and everything after the CRC itself.

use bytes::Bytes;

/// Bytes before the topic.
pub(super) const HEADER: usize = 37;
const PREFIX: usize = 8;
const FLAG_DUP: u8 = 1;

/// An MQTT message on its way into the log. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Hash of the client id, which names the MQTT session.
    pub(crate) client: u64,
    /// Packet id, 0 for QoS 0.
    pub(crate) packet_id: u16,
    /// The sender marked it as a redelivery.
    pub(crate) dup: bool,
    /// When it arrived, microseconds since the epoch.
    pub(crate) received: i64,
    /// Topic, as sent.
    pub(crate) topic: Bytes,
    /// Payload, as sent.
    pub(crate) payload: Bytes,
}

impl Message {
    /// Bytes the message takes in the log.
    pub(crate) fn encoded_len(&self) -> usize {
        HEADER + self.topic.len() + self.payload.len()
    }
}

/// A message with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The log position; positions grow by one from record to record.
    pub(crate) position: u64,
    /// The message.
    pub(crate) message: Message,
}

/// Appends the record's bytes to `out`.
pub(super) fn encode(position: u64, message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    let len = (message.encoded_len() - PREFIX) as u32;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&message.received.to_le_bytes());
    out.extend_from_slice(&message.client.to_le_bytes());
    out.extend_from_slice(&message.packet_id.to_le_bytes());
    out.push(if message.dup { FLAG_DUP } else { 0 });
    out.extend_from_slice(&(message.topic.len() as u16).to_le_bytes());
    out.extend_from_slice(&message.topic);
    out.extend_from_slice(&message.payload);
    let crc = checksum(&out[start..start + 4], &out[start + PREFIX..]);
    out[start + 4..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(len: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(len);
    hasher.update(body);
    hasher.finalize()
}

/// What stands at an offset of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole record, and the offset after it.
    Record(Record, usize),
    /// The bytes end before the record does.
    Short,
    /// No record: its length, topic or checksum is wrong.
    Bad,
}

/// Bytes of the whole record whose first bytes are `start`, when its length can be read.
pub(super) fn record_len(start: &[u8]) -> Option<usize> {
    Some(read_u32(start, 0)? as usize + PREFIX)
}

/// Reads the record at `offset` of `bytes`; topic and payload share the buffer.
pub(super) fn parse(bytes: &Bytes, offset: usize) -> Parsed {
    let rest = &bytes[offset..];
    let Some(total) = record_len(rest) else {
        return Parsed::Short;
    };
    if total < HEADER {
        return Parsed::Bad;
    }
    if rest.len() < total {
        return Parsed::Short;
    }
    let rest = &rest[..total];
    let field = |at: usize, n: usize| &rest[at..at + n];
    if checksum(field(0, 4), &rest[PREFIX..]).to_le_bytes() != *field(4, 4) {
        return Parsed::Bad;
    }
    let topic_end = HEADER + usize::from(u16::from_le_bytes([rest[35], rest[36]]));
    if topic_end > total {
        return Parsed::Bad;
    }
    let message = Message {
        received: read_u64(rest, 16) as i64,
        client: read_u64(rest, 24),
        packet_id: u16::from_le_bytes([rest[32], rest[33]]),
        dup: rest[34] & FLAG_DUP != 0,
        topic: bytes.slice(offset + HEADER..offset + topic_end),
        payload: bytes.slice(offset + topic_end..offset + total),
    };
    let position = read_u64(rest, 8);
    Parsed::Record(Record { position, message }, offset + total)
}

/// Looks past damage at `offset` for the next whole record, whose position must lie after
/// `expected` by no more than the bytes in between could hold.
pub(super) fn resync(bytes: &Bytes, offset: usize, expected: u64) -> Option<usize> {
    (offset + 1..bytes.len().saturating_sub(HEADER - 1)).find(|&at| {
        let position = read_u64(&bytes[at..], 8);
        let room = ((at - offset) / HEADER) as u64 + 1;
        position >= expected
            && position - expected <= room
            && matches!(parse(bytes, at), Parsed::Record(..))
    })
}

/// How many records the bytes at the end of a log seem to have been before they were damaged;
/// none where they are the beginning of a record whose rest was never written.
pub(super) fn count_damaged(tail: &[u8]) -> u64 {
    if tail.iter().all(|byte| *byte == 0) {
        // A file that had grown when the power went, before its bytes came.
        return 0;
    }
    let (mut rest, mut records) = (tail, 0);
    loop {
        match record_len(rest).filter(|len| *len >= HEADER) {
            Some(len) if len <= rest.len() => {
                records += 1;
                rest = &rest[len..];
            }
            // Its length is beyond belief: one or more, as its neighbours cannot be told.
            None if rest.len() >= PREFIX => return records + 1,
            _ => return records,
        }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

/// Eight bytes at `at`, which the caller has checked to be there.
pub(super) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static str) -> Message {
        Message {
            client: 7,
            packet_id: 3,
            dup: true,
            received: 1_700_000_000_000_000,
            topic: Bytes::from_static(b"a/b"),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    #[test]
    fn a_record_comes_back() {
        let mut out = Vec::new();
        encode(9, &message("{}"), &mut out);
        let len = out.len();
        let record = Record {
            position: 9,
            message: message("{}"),
        };
        assert_eq!(parse(&Bytes::from(out), 0), Parsed::Record(record, len));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        encode(9, &message("payload"), &mut out);
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&Bytes::from(bad), 0), Parsed::Record(..)));
        }
    }

    #[test]
    fn damage_is_stepped_over() {
        let mut out = Vec::new();
        encode(1, &message("first"), &mut out);
        let second = out.len();
        encode(2, &message("second"), &mut out);
        out[0] = 0xff;
        assert_eq!(resync(&Bytes::from(out), 0, 1), Some(second));
    }
}
