//! The first bytes of a segment: its format, who wrote it, and what stood before it.
//!
//! Layout, little endian: `"PHWAL002" | previous u64 | run 16 bytes | crc u32`; the CRC covers
//! `previous` and `run`. Version 1 had its eight letters only, and is still read.

use std::path::Path;

use bytes::Bytes;
use catalog::{Error, Result};
use uuid::Uuid;

use super::record::{self, Parsed};

const MAGIC: &[u8; 8] = b"PHWAL002";
const MAGIC_1: &[u8; 8] = b"PHWAL001";
const NAME: &[u8; 5] = b"PHWAL";
/// Where the CRC stands, and what it covers begins.
const CRC: usize = 32;
const COVERED: usize = 8;
/// Bytes of the header.
pub(super) const BYTES: usize = 36;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The position of the last record before this segment, 0 for none: what lies between it and
    /// the segment's first position was never given to a record.
    pub(super) previous: u64,
    /// The run that wrote it: each opening of a log is one. A position and the run it was written
    /// in name a record among all copies of a log.
    pub(super) run: Uuid,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..COVERED].copy_from_slice(MAGIC);
        out[COVERED..16].copy_from_slice(&self.previous.to_le_bytes());
        out[16..CRC].copy_from_slice(self.run.as_bytes());
        let crc = crc32fast::hash(&out[COVERED..CRC]);
        out[CRC..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.first_chunk()?;
        let crc = crc32fast::hash(&bytes[COVERED..CRC]);
        (crc.to_le_bytes() == bytes[CRC..]).then(|| Self {
            previous: record::read_u64(bytes, COVERED),
            run: Uuid::from_slice(&bytes[16..CRC]).unwrap_or_default(),
        })
    }
}

/// Where the records of the segment `bytes` begin, and its header if that is there and whole.
///
/// # Errors
/// `Unsupported` for a segment of a version that is not known.
pub(super) fn read(bytes: &Bytes, path: &Path) -> Result<(usize, Option<Header>)> {
    if let Some(header) = Header::decode(bytes) {
        return Ok((BYTES, Some(header)));
    }
    let is_record =
        |at: usize| at < bytes.len() && matches!(record::parse(bytes, at), Parsed::Record(..));
    if bytes.starts_with(MAGIC_1) {
        return Ok((MAGIC_1.len(), None));
    }
    if let Some(start) = [BYTES, MAGIC_1.len()].into_iter().find(|at| is_record(*at)) {
        return Ok((start, None));
    }
    let magic = bytes.first_chunk::<8>();
    if magic.is_some_and(|magic| magic.starts_with(NAME) && magic != MAGIC) {
        return Err(Error::unsupported(format!(
            "{} is a log segment of another version",
            path.display()
        ))
        .with_hint("start the version of pumphouse that wrote it, let it flush, then upgrade"));
    }
    // Torn, or damaged: the first record is looked for.
    Ok((BYTES.min(bytes.len()), None))
}
