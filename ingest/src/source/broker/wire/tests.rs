use bytes::BytesMut;
use proptest::prelude::*;

use super::frame::{Opening, opening};
use super::*;

fn decode(bytes: &[u8], is_v5: bool) -> Result<Option<Incoming>, Fault> {
    Wire::new(is_v5, 1 << 20).decode(&mut BytesMut::from(bytes))
}

#[test]
fn the_version_is_told_from_the_first_bytes() {
    for (bytes, expected) in [
        (&b""[..], None),
        (b"\x10\x10\0\x04MQT", None),
        (b"\x10\x10\0\x04MQTT\x04", Some(Opening::V3)),
        (b"\x10\x10\0\x04MQTT\x05", Some(Opening::V5)),
        (b"\x10\x10\0\x06MQIsdp\x03", Some(Opening::V3)),
        (b"\x10\x10\0\x04MQTT\x06", Some(Opening::OtherVersion)),
        (b"\x10\x10\0\x04MQTT\x03", Some(Opening::OtherVersion)),
        (b"\x10\x10\0\x04HTTP\x04", Some(Opening::Foreign)),
        (b"\x10\xff\xff\xff\xff", Some(Opening::Foreign)),
        (b"GET /", Some(Opening::Foreign)),
    ] {
        assert_eq!(opening(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn what_the_codec_lets_pass_is_caught() {
    let bad: [(&[u8], bool); 9] = [
        (b"\xc0\x80\x00", false),
        (b"\xc0\x01x", false),
        (b"\xe0\x01\0", false),
        (b"\x38\x03\0\x01t", false),
        (b"\x82\x06\0\x01\0\x01t\x04", false),
        (b"\x30\x06\0\x01t\x80\0x", true),
        (b"\x30\x0b\0\x01t\x07\x26\0\x01\0\0\x00\x00", true),
        (b"\x82\x0a\0\x01\x03\x0b\x81\0\0\x01t\0", true),
        (b"\x36\x05\0\x01t\0\x01", false),
    ];
    for (bytes, is_v5) in bad {
        let fault = decode(bytes, is_v5).unwrap_err();
        assert_eq!(fault.reason, Reason::MalformedPacket, "{bytes:?}");
    }
}

#[test]
fn a_message_expiry_of_zero_is_taken() {
    let bytes = b"\x30\x09\0\x01t\x05\x02\0\0\0\0";
    let Ok(Some(Incoming::Publish(publish))) = decode(bytes, true) else {
        panic!("no PUBLISH");
    };
    let expiry = publish.properties.unwrap().message_expiry_interval;
    assert_eq!(expiry, NonZeroU32::new(1));
}

#[test]
fn the_bound_counts_the_whole_packet() {
    let mut wire = Wire::new(true, 8);
    let packet = |payload: &'static [u8]| {
        Outgoing::Publish(Box::new(Publish {
            dup: false,
            retain: false,
            qos: rmqtt_codec::types::QoS::AtMostOnce,
            topic: "t".into(),
            packet_id: None,
            payload: payload.into(),
            properties: None,
        }))
    };
    let mut out = BytesMut::new();
    assert_eq!(wire.encode(packet(b"xxx"), &mut out), Err(TooLarge));
    assert!(out.is_empty());
    assert_eq!(wire.encode(packet(b"xx"), &mut out), Ok(()));
    assert_eq!(out.len(), 8);
    assert!(wire.decode(&mut out).unwrap().is_some());
    let mut large = BytesMut::from(&b"\x30\x07\0\x01t\0xxx"[..]);
    assert_eq!(
        wire.decode(&mut large).unwrap_err().reason,
        Reason::PacketTooLarge
    );
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(first: u8, rest in prop::collection::vec(any::<u8>(), 0..64), is_v5: bool) {
        let mut bytes = vec![first, rest.len() as u8];
        bytes.extend(&rest);
        let _ = decode(&bytes, is_v5);
        let _ = decode(&rest, is_v5);
        let _ = opening(&bytes);
        let mut connect = b"\x10\x00\0\x04MQTT\x05".to_vec();
        connect.extend(&rest);
        connect[1] = (connect.len() - 2) as u8;
        let _ = decode(&connect, is_v5);
    }
}
