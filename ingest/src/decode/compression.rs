//! Compressed payloads, with a bound on what comes out of them.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::config::Compression;

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Zstandard frames may ask for a window up to two to this power of bytes: those of its levels up
/// to 19 do, and no message can take gigabytes of memory.
const ZSTD_WINDOW_LOG: u32 = 24;

/// The payload without its compression, of at most `most` bytes.
///
/// # Errors
/// Why there is none, in words for a dead letter.
pub(super) fn body(
    payload: &[u8],
    compression: Compression,
    most: usize,
) -> Result<Cow<'_, [u8]>, String> {
    match compression {
        Compression::None => Ok(Cow::Borrowed(payload)),
        Compression::Gzip => gzip(payload, most).map(Cow::Owned),
        Compression::Zstd => zstd(payload, most).map(Cow::Owned),
        Compression::Auto if payload.starts_with(GZIP_MAGIC) => gzip(payload, most).map(Cow::Owned),
        Compression::Auto if payload.starts_with(ZSTD_MAGIC) => zstd(payload, most).map(Cow::Owned),
        Compression::Auto => Ok(Cow::Borrowed(payload)),
    }
}

/// RFC 1952 or, as Sparkplug's DEFLATE has it, RFC 1950.
pub(super) fn deflated(payload: &[u8], most: usize) -> Result<Vec<u8>, String> {
    match payload.starts_with(GZIP_MAGIC) {
        true => gzip(payload, most),
        false => all(ZlibDecoder::new(payload), most, "DEFLATE"),
    }
}

fn gzip(payload: &[u8], most: usize) -> Result<Vec<u8>, String> {
    all(MultiGzDecoder::new(payload), most, "gzip")
}

fn zstd(payload: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let reader = zstd::stream::read::Decoder::with_buffer(payload).and_then(|mut reader| {
        reader.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(reader)
    });
    let reader = reader.map_err(|e| format!("not zstd: {e}"))?;
    all(reader, most, "zstd")
}

/// Everything `reader` gives, which must not be more than `most` bytes.
fn all(reader: impl Read, most: usize, name: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut bounded = reader.take(most as u64 + 1);
    bounded
        .read_to_end(&mut out)
        .map_err(|e| format!("not {name}: {e}"))?;
    if out.len() > most {
        return Err(format!(
            "the payload is larger than {most} bytes once it is decompressed"
        ));
    }
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    pub(in crate::decode) fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in crate::decode) fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 1).unwrap()
    }

    #[test]
    fn compressed_bodies_are_told_by_their_first_bytes() {
        let plain = b"{\"v\":1}";
        for payload in [plain.to_vec(), gzipped(plain), zstd_of(plain)] {
            let out = body(&payload, Compression::Auto, 100).unwrap();
            assert_eq!(out.as_ref(), plain);
        }
        let twice = [gzipped(b"{\"v\""), gzipped(b":1}")].concat();
        assert_eq!(
            body(&twice, Compression::Gzip, 100).unwrap().as_ref(),
            plain
        );
        assert!(body(plain, Compression::Gzip, 100).is_err());
        assert!(body(plain, Compression::Zstd, 100).is_err());
        let gzip = gzipped(plain);
        assert_eq!(body(&gzip, Compression::None, 100).unwrap().as_ref(), gzip);
    }

    #[test]
    fn a_bomb_is_no_payload() {
        let zeros = vec![0; 1 << 20];
        for payload in [gzipped(&zeros), zstd_of(&zeros)] {
            let error = body(&payload, Compression::Auto, 1_000).unwrap_err();
            assert!(error.contains("larger than 1000"), "{error}");
            assert!(body(&payload, Compression::Auto, 1 << 20).is_ok());
        }
    }

    #[test]
    fn torn_and_flipped_bytes_are_no_payload() {
        for payload in [gzipped(b"{\"v\":1}"), zstd_of(b"{\"v\":1}")] {
            for end in 4..payload.len() {
                assert!(
                    body(&payload[..end], Compression::Auto, 100).is_err(),
                    "{end}"
                );
            }
        }
        let mut flipped = gzipped(b"{\"v\":1}");
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        assert!(body(&flipped, Compression::Auto, 100).is_err());
    }
}
