//! Log replay on made-up and on damaged segments: nothing is invented, and nothing before the
//! damage is lost.

use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::header::{self, Header};
use super::record::{self, Message, Record};
use super::segment::{Scanner, Step};

/// The records of a segment's bytes, whose first has position 1.
///
/// # Panics
/// When positions do not grow, or a loss is none.
fn scan(bytes: Bytes) -> Vec<Record> {
    let Ok((start, _)) = header::read(&bytes, Path::new("segment")) else {
        return Vec::new();
    };
    let mut records: Vec<Record> = Vec::new();
    let mut next = 1;
    for step in Scanner::new(bytes, start, 1) {
        match step {
            Step::Record(record) => {
                assert_eq!(record.position, next);
                next += 1;
                records.push(record);
            }
            Step::Lost { from, to, .. } => {
                assert!(from == next && to >= from);
                next = to + 1;
            }
            Step::Torn { .. } => {}
        }
    }
    records
}

/// Replays `data` as a segment; then a segment of records taken from the front of `data`, damaged
/// as its end says.
///
/// # Panics
/// When replay invents a record, or loses one before the damage.
pub fn replay(data: &[u8]) {
    scan(Bytes::copy_from_slice(data));
    let (front, damage) = data.split_at(data.len() / 2);
    let run = Uuid::nil();
    let mut bytes = Header { previous: 0, run }.encode().to_vec();
    let mut written = Vec::new();
    for (part, position) in front.chunks(9).zip(1..) {
        let record = Record {
            position,
            message: message(part),
        };
        record::encode(position, &record.message, &mut bytes);
        written.push((record, bytes.len()));
    }
    let mut first = bytes.len();
    for change in damage.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
        first = if change[2] == 0 { first } else { first.min(at) };
    }
    let found = scan(Bytes::from(bytes));
    // Two changes may take each other back, so more than these may be whole.
    let whole = written.iter().take_while(|(_, end)| *end <= first).count();
    assert!(found.len() >= whole, "{} of {whole} records", found.len());
    for record in found {
        let is_written = written.iter().any(|(known, _)| *known == record);
        assert!(is_written, "a record nobody wrote: {record:?}");
    }
}

fn message(part: &[u8]) -> Message {
    let (topic, payload) = part.split_at(part.len() / 2);
    Message {
        client: part.len() as u64,
        packet_id: u16::from(part[0]),
        dup: part[0] & 1 == 1,
        received: i64::from(part[0]),
        topic: Bytes::copy_from_slice(topic),
        payload: Bytes::copy_from_slice(payload),
    }
}
