//! What the specification asks of a packet's bytes and the codec does not check: the shortest
//! length, flags and bodies of the small packets, and what a CONNECT may look like.

use bytes::BytesMut;

use super::Fault;
use rmqtt_codec::v5::DisconnectReasonCode as Reason;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBREL: u8 = 6;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;
const PINGREQ: u8 = 12;
const DISCONNECT: u8 = 14;

/// Properties that carry a four-byte number which the codec does not take as 0.
const MESSAGE_EXPIRY: u8 = 0x02;

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::broker) enum Opening {
    V3,
    V5,
    /// Something like a CONNECT of another version: answered with a refusal.
    OtherVersion,
    /// No CONNECT at all.
    Foreign,
}

/// Which protocol the first bytes of a connection speak; none when more are needed.
pub(in crate::source::broker) fn opening(bytes: &[u8]) -> Option<Opening> {
    let first = *bytes.first()?;
    if first != CONNECT << 4 {
        return Some(Opening::Foreign);
    }
    let at = match variable(bytes.get(1..)?) {
        Ok(Some((_, used))) => 1 + used,
        Ok(None) => return None,
        Err(_) => return Some(Opening::Foreign),
    };
    let body = bytes.get(at..)?;
    let name_len = usize::from(u16::from_be_bytes(*body.first_chunk()?));
    let name: &[u8] = match name_len {
        4 => b"MQTT",
        6 => b"MQIsdp",
        _ => return Some(Opening::Foreign),
    };
    if body.get(2..2 + name_len)? != name {
        return Some(Opening::Foreign);
    }
    Some(match (name_len, *body.get(2 + name_len)?) {
        (4, 4) | (6, 3) => Opening::V3,
        (4, 5) => Opening::V5,
        _ => Opening::OtherVersion,
    })
}

/// Whether a whole packet stands at the beginning of `buffer`, and one that the codec may see.
pub(super) fn check(buffer: &mut BytesMut, is_v5: bool, most: u32) -> Result<bool, Fault> {
    let Some(&first) = buffer.first() else {
        return Ok(false);
    };
    check_flags(first)?;
    let Some((length, used)) = variable(&buffer[1..])? else {
        return Ok(false);
    };
    let total = 1 + used + length as usize;
    if total > most as usize {
        let what = format!("a packet of {total} bytes, at most {most} are taken");
        return Err(Fault::new(Reason::PacketTooLarge, what));
    }
    if buffer.len() < total {
        buffer.reserve(total - buffer.len());
        return Ok(false);
    }
    let body = &mut buffer[1 + used..total];
    match first >> 4 {
        PUBLISH => check_publish(first, body, is_v5)?,
        SUBSCRIBE if is_v5 => check_properties(body.get_mut(2..).unwrap_or_default())?,
        SUBSCRIBE => check_qos(body)?,
        UNSUBSCRIBE if is_v5 => check_properties(body.get_mut(2..).unwrap_or_default())?,
        PINGREQ if length > 0 => return Err(Fault::malformed("a PINGREQ with a body")),
        DISCONNECT if !is_v5 && length > 0 => {
            return Err(Fault::malformed("a DISCONNECT with a body"));
        }
        DISCONNECT if length > 1 => check_properties(&mut body[1..])?,
        CONNECT => check_connect(body, is_v5)?,
        _ => {}
    }
    Ok(true)
}

/// The flags of every packet but PUBLISH are fixed.
fn check_flags(first: u8) -> Result<(), Fault> {
    let expected = match first >> 4 {
        0 => return Err(Fault::malformed("a packet of the reserved type 0")),
        PUBLISH => return Ok(()),
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => 2,
        _ => 0,
    };
    if first & 15 != expected {
        return Err(Fault::malformed(
            "reserved flags in the first byte of a packet",
        ));
    }
    Ok(())
}

fn check_publish(first: u8, body: &mut [u8], is_v5: bool) -> Result<(), Fault> {
    let qos = (first >> 1) & 3;
    if qos == 3 {
        return Err(Fault::malformed("a PUBLISH with both QoS bits set"));
    }
    if qos == 0 && first & 8 != 0 {
        return Err(Fault::malformed("a PUBLISH of QoS 0 with the DUP flag"));
    }
    if !is_v5 {
        return Ok(());
    }
    let Some(&topic) = body.first_chunk() else {
        return Ok(());
    };
    let at = 2 + usize::from(u16::from_be_bytes(topic)) + if qos > 0 { 2 } else { 0 };
    let Some(properties) = body.get_mut(at..) else {
        return Ok(());
    };
    if properties.first() == Some(&0) {
        return Ok(());
    }
    check_properties(properties)
}

/// The two reserved parts of the byte after each filter, which the codec masks out.
fn check_qos(body: &[u8]) -> Result<(), Fault> {
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(len) = rest.first_chunk() {
        let end = 2 + usize::from(u16::from_be_bytes(*len));
        match rest.get(end) {
            Some(0..=2) => rest = &rest[end + 1..],
            Some(_) => return Err(Fault::malformed("a SUBSCRIBE with a QoS above 2")),
            // The codec says what is missing.
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Checks what the codec does not in a CONNECT, and helps it over a client id left to the broker.
fn check_connect(body: &mut [u8], is_v5: bool) -> Result<(), Fault> {
    let short = || Fault::malformed("a CONNECT that ends early");
    let name = usize::from(u16::from_be_bytes(*body.first_chunk().ok_or_else(short)?));
    let flags_at = 2 + name + 1;
    let flags = *body.get(flags_at).ok_or_else(short)?;
    let (will, will_rest) = (flags & 4 != 0, flags & 0x38);
    if (!will && will_rest != 0) || will_rest & 0x18 == 0x18 {
        return Err(Fault::malformed(
            "a CONNECT whose will flags do not fit each other",
        ));
    }
    if !is_v5 && flags & 0xc0 == 0x40 {
        return Err(Fault::malformed(
            "a CONNECT with a password and no user name",
        ));
    }
    let mut at = flags_at + 3;
    if is_v5 {
        at += skip_properties(body.get_mut(at..).ok_or_else(short)?)?;
    }
    let id_len = skip_text(body, at).ok_or_else(short)?;
    if is_v5 && id_len == 2 {
        // The codec takes an empty client id only for a clean start. The broker makes up a new id,
        // which has no session, so that the two are the same.
        body[flags_at] |= 2;
    }
    at += id_len;
    if will {
        if is_v5 {
            at += skip_properties(body.get_mut(at..).ok_or_else(short)?)?;
        }
        at += skip_text(body, at).ok_or_else(short)?;
        at += skip_text(body, at).ok_or_else(short)?;
    }
    for _ in 0..(flags & 0xc0).count_ones() {
        at += skip_text(body, at).ok_or_else(short)?;
    }
    if at != body.len() {
        return Err(Fault::malformed("a CONNECT with bytes after its end"));
    }
    Ok(())
}

/// Bytes of the length-prefixed field at `at`, its length included.
fn skip_text(body: &[u8], at: usize) -> Option<usize> {
    let len = 2 + usize::from(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    (body.len() >= at + len).then_some(len)
}

fn check_properties(bytes: &mut [u8]) -> Result<(), Fault> {
    skip_properties(bytes).map(|_| ())
}

/// Walks the properties at the beginning of `bytes`; returns the bytes they take.
///
/// A message expiry of 0 is made 1: the specification allows it, the codec does not.
fn skip_properties(bytes: &mut [u8]) -> Result<usize, Fault> {
    let bad = || Fault::malformed("properties that cannot be read");
    let (length, used) = variable(bytes)?.ok_or_else(bad)?;
    let end = used + length as usize;
    let properties = bytes.get_mut(used..end).ok_or_else(bad)?;
    let mut at = 0;
    while let Some(&id) = properties.get(at) {
        at += 1;
        let rest = properties.get_mut(at..).ok_or_else(bad)?;
        at += match id {
            MESSAGE_EXPIRY => {
                let value = rest.get_mut(..4).ok_or_else(bad)?;
                if *value == [0; 4] {
                    value[3] = 1;
                }
                4
            }
            0x11 | 0x18 | 0x27 => 4,
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21..=0x23 => 2,
            0x0b => variable(rest)?.ok_or_else(bad)?.1,
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                skip_text(rest, 0).ok_or_else(bad)?
            }
            0x26 => {
                let key = skip_text(rest, 0).ok_or_else(bad)?;
                key + skip_text(rest, key).ok_or_else(bad)?
            }
            _ => return Err(Fault::malformed("an unknown property")),
        };
    }
    if at != properties.len() {
        return Err(bad());
    }
    Ok(end)
}

/// A variable byte integer and the bytes it takes; none when it goes on beyond the end. The
/// shortest form is the only one [MQTT-1.5.5-1].
fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index > 0 && *byte == 0 {
                return Err(Fault::malformed("a length that is longer than it need be"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(Fault::malformed("a length of more than four bytes"));
    }
    Ok(None)
}
