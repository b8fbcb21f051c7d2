//! Packets that the specification forbids, each ending its connection, and no other.

use super::Broker;
use super::client::{
    Client, Connect, DISCONNECT, Publish, V3, V5, Version, packet, prop, properties, subscribe,
    text, unsubscribe,
};

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;

/// What is sent after the CONNECT ends the connection for this reason.
async fn refused(version: Version, bytes: Vec<u8>, reason: u8) {
    let broker = Broker::start().await;
    let mut other = broker.client(version, "other").await;
    let mut client = broker.client(version, "client").await;
    client.send(&bytes).await;
    let expected = if version == V5 { reason } else { 0 };
    assert_eq!(client.goodbye().await, expected, "{bytes:?}");
    other.ping().await;
    assert_eq!(broker.ingest().stats().received, 0);
}

/// A CONNECT that is not let in: closed, and at most a CONNACK with an error before it.
async fn not_let_in(version: Version, bytes: &[u8]) {
    let broker = Broker::start().await;
    let mut client = Client::open(broker.address, version).await;
    let publish = Publish::new("a", "x", 0).bytes(version);
    client.send([bytes, &publish].concat()).await;
    let packets = client.closed().await;
    assert!(packets.len() <= 1, "{packets:?}");
    for connack in packets {
        assert_eq!((connack.first, connack.body[0]), (0x20, 0));
        assert!(connack.body[1] > 0, "it was let in");
    }
    assert_eq!(broker.ingest().stats().received, 0);
}

/// A CONNECT with these flags and this payload.
fn connect(version: Version, flags: u8, payload: &[Vec<u8>]) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([if version == V5 { 5 } else { 4 }, flags, 0, 0]);
    if version == V5 {
        body.push(0);
    }
    body.extend(payload.concat());
    packet(0x10, &body)
}

/// A PUBLISH with raw bytes for its topic.
fn publish(version: Version, topic: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if version == V5 {
        body.push(0);
    }
    packet(0x30, &body)
}

macro_rules! refused {
    ($($name:ident: $version:ident, $bytes:expr, $reason:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            refused($version, $bytes, $reason).await;
        }
    )*};
}

macro_rules! not_let_in {
    ($($name:ident: $version:ident, $bytes:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            not_let_in($version, &$bytes).await;
        }
    )*};
}

refused! {
    mqtt_v5_1_5_4_1_3_3_2_1_4_13_1_1_ill_formed_topic: V5, publish(V5, b"a\xff"), MALFORMED;
    mqtt_v3_1_5_3_1_3_3_2_1_ill_formed_topic: V3, publish(V3, b"a\xed\xa0\x80"), 0;
    mqtt_v5_1_5_4_2_4_7_3_2_null_in_a_topic: V5, publish(V5, b"a\0b"), MALFORMED;
    mqtt_v3_1_5_3_2_4_7_3_2_null_in_a_topic: V3, publish(V3, b"a\0b"), 0;
    mqtt_v5_1_5_5_1_length_longer_than_need_be: V5, vec![0xc0, 0x80, 0], MALFORMED;
    mqtt_v5_1_5_7_1_ill_formed_user_property: V5, Publish::new("a", "", 0)
        .with(0x26, [text("k"), text(b"\xff")].concat()).bytes(V5), MALFORMED;
    mqtt_v5_2_2_1_3_packet_id_zero: V5, Publish::new("a", "", 0).qos(1).bytes(V5), MALFORMED;
    mqtt_v3_2_3_1_1_packet_id_zero: V3, Publish::new("a", "", 0).qos(1).bytes(V3), 0;
    mqtt_v5_3_1_0_2_second_connect: V5, Connect::new(V5, "x").bytes(), PROTOCOL_ERROR;
    mqtt_v3_3_1_0_2_second_connect: V3, Connect::new(V3, "x").bytes(), 0;
    mqtt_v5_3_3_1_2_dup_at_qos_0: V5, Publish::new("a", "", 0).dup().bytes(V5), MALFORMED;
    mqtt_v3_3_3_1_2_dup_at_qos_0: V3, Publish::new("a", "", 0).dup().bytes(V3), 0;
    mqtt_v5_3_3_1_4_both_qos_bits: V5, Publish::new("a", "", 3).qos(3).bytes(V5), MALFORMED;
    mqtt_v3_3_3_1_4_both_qos_bits: V3, Publish::new("a", "", 3).qos(3).bytes(V3), 0;
    mqtt_v5_3_3_2_2_4_7_0_1_wildcard_in_a_topic: V5, publish(V5, b"a/+"), 0x90;
    mqtt_v3_3_3_2_2_4_7_1_1_wildcard_in_a_topic: V3, publish(V3, b"a/#"), 0;
    mqtt_v5_4_7_3_1_4_13_2_1_topic_without_a_character: V5, publish(V5, b""), PROTOCOL_ERROR;
    mqtt_v3_4_7_3_1_4_8_0_1_topic_without_a_character: V3, publish(V3, b""), 0;
    mqtt_v5_3_3_2_8_topic_alias_zero: V5,
        Publish::new("a", "", 0).with(0x23, [0, 0]).bytes(V5), MALFORMED;
    mqtt_v5_3_3_2_9_topic_alias_too_high: V5,
        Publish::new("a", "", 0).with(0x23, [0xff, 0xff]).bytes(V5), 0x94;
    mqtt_v5_3_3_2_13_ill_formed_response_topic: V5,
        Publish::new("a", "", 0).with(0x08, text(b"\xff")).bytes(V5), MALFORMED;
    mqtt_v5_3_3_2_14_wildcard_in_a_response_topic: V5,
        Publish::new("a", "", 0).with(0x08, text("a/#")).bytes(V5), PROTOCOL_ERROR;
    mqtt_v5_3_3_2_19_ill_formed_content_type: V5,
        Publish::new("a", "", 0).with(0x03, text(b"\xff")).bytes(V5), MALFORMED;
    mqtt_v5_3_3_4_6_subscription_identifier_from_a_client: V5,
        Publish::new("a", "", 0).with(0x0b, [1]).bytes(V5), PROTOCOL_ERROR;
    mqtt_v5_3_6_1_1_flags_of_pubrel: V5, packet(0x60, &[0, 1]), MALFORMED;
    mqtt_v3_3_6_1_1_flags_of_pubrel: V3, packet(0x60, &[0, 1]), 0;
    mqtt_v5_3_8_1_1_flags_of_subscribe: V5, packet(0x80, &[0, 1, 0, 0, 1, b'a', 0]), MALFORMED;
    mqtt_v3_3_8_1_1_flags_of_subscribe: V3, packet(0x80, &[0, 1, 0, 1, b'a', 0]), 0;
    mqtt_v5_3_8_3_1_ill_formed_filter: V5, packet(0x82, b"\0\x01\0\0\x01\xff\0"), MALFORMED;
    mqtt_v3_3_8_3_1_ill_formed_filter: V3, packet(0x82, b"\0\x01\0\x01\xff\0"), 0;
    mqtt_v5_3_8_3_2_no_filter: V5, subscribe(V5, 1, &[], &[]), PROTOCOL_ERROR;
    mqtt_v3_3_8_3_3_no_filter: V3, subscribe(V3, 1, &[], &[]), 0;
    mqtt_v5_3_8_3_4_no_local_on_a_shared_subscription: V5,
        subscribe(V5, 1, &[], &[("$share/g/a", 4)]), PROTOCOL_ERROR;
    mqtt_v5_3_8_3_5_reserved_option_bits: V5, subscribe(V5, 1, &[], &[("a", 0x40)]), MALFORMED;
    mqtt_v3_3_8_3_4_reserved_option_bits: V3, subscribe(V3, 1, &[], &[("a", 0x04)]), 0;
    mqtt_v5_3_10_1_1_flags_of_unsubscribe: V5, packet(0xa0, &[0, 1, 0, 0, 1, b'a']), MALFORMED;
    mqtt_v3_3_10_1_1_flags_of_unsubscribe: V3, packet(0xa0, &[0, 1, 0, 1, b'a']), 0;
    mqtt_v5_3_10_3_1_ill_formed_filter: V5, packet(0xa2, b"\0\x01\0\0\x01\xff"), MALFORMED;
    mqtt_v3_3_10_3_1_ill_formed_filter: V3, packet(0xa2, b"\0\x01\0\x01\xff"), 0;
    mqtt_v5_3_10_3_2_no_filter: V5, unsubscribe(V5, 1, &[]), PROTOCOL_ERROR;
    mqtt_v3_3_10_3_2_no_filter: V3, unsubscribe(V3, 1, &[]), 0;
    mqtt_v5_3_14_1_1_flags_of_disconnect: V5, vec![0xe1, 0], MALFORMED;
    mqtt_v3_3_14_1_1_flags_of_disconnect: V3, vec![0xe1, 0], 0;
    mqtt_v5_3_15_1_1_flags_of_auth: V5, vec![0xf1, 0], MALFORMED;
    mqtt_v5_4_12_0_7_auth_without_a_method: V5, vec![0xf0, 0], PROTOCOL_ERROR;
    mqtt_v5_3_14_2_2_expiry_set_at_the_end: V5,
        packet(DISCONNECT, &[&[0][..], &properties(&[&prop(0x11, [0, 0, 0, 9])])].concat()), PROTOCOL_ERROR;
}

not_let_in! {
    mqtt_v5_3_1_0_1_something_before_the_connect: V5, Publish::new("a", "", 0).bytes(V5);
    mqtt_v3_3_1_0_1_something_before_the_connect: V3, [0xc0, 0];
    mqtt_v5_3_1_2_1_other_protocol_name: V5, packet(0x10, b"\0\x04MQTX\x05\x02\0\0\0\0\x01c");
    mqtt_v3_3_1_2_1_other_protocol_name: V3, packet(0x10, b"\0\x04MQTX\x04\x02\0\0\0\x01c");
    mqtt_v5_3_1_2_2_other_version: V5, packet(0x10, b"\0\x04MQTT\x06\x02\0\0\0\0\x01c");
    mqtt_v5_3_1_2_3_3_1_4_1_reserved_flag: V5, connect(V5, 3, &[text("c")]);
    mqtt_v3_3_1_2_3_3_1_4_1_reserved_flag: V3, connect(V3, 3, &[text("c")]);
    mqtt_v5_3_1_2_9_will_flag_without_a_will: V5, connect(V5, 6, &[text("c")]);
    mqtt_v3_3_1_2_9_will_flag_without_a_will: V3, connect(V3, 6, &[text("c")]);
    mqtt_v5_3_1_2_11_will_qos_without_a_will: V5, connect(V5, 0x0a, &[text("c")]);
    mqtt_v3_3_1_2_11_3_1_2_13_will_qos_without_a_will: V3, connect(V3, 0x0a, &[text("c")]);
    mqtt_v5_3_1_2_12_will_qos_of_3: V5, connect(V5, 0x1e, &[text("c"), vec![0], text("w"), text("")]);
    mqtt_v3_3_1_2_14_will_qos_of_3: V3, connect(V3, 0x1e, &[text("c"), text("w"), text("")]);
    mqtt_v5_3_1_2_13_will_retain_without_a_will: V5, connect(V5, 0x22, &[text("c")]);
    mqtt_v3_3_1_2_15_will_retain_without_a_will: V3, connect(V3, 0x22, &[text("c")]);
    mqtt_v5_3_1_2_16_user_name_without_its_flag: V5, connect(V5, 2, &[text("c"), text("u")]);
    mqtt_v3_3_1_2_18_user_name_without_its_flag: V3, connect(V3, 2, &[text("c"), text("u")]);
    mqtt_v5_3_1_2_17_user_name_flag_without_one: V5, connect(V5, 0x82, &[text("c")]);
    mqtt_v3_3_1_2_19_user_name_flag_without_one: V3, connect(V3, 0x82, &[text("c")]);
    mqtt_v5_3_1_2_18_password_without_its_flag: V5, connect(V5, 0x82, &[text("c"), text("u"), text("p")]);
    mqtt_v3_3_1_2_20_password_without_its_flag: V3, connect(V3, 0x82, &[text("c"), text("u"), text("p")]);
    mqtt_v5_3_1_2_19_password_flag_without_one: V5, connect(V5, 0xc2, &[text("c"), text("u")]);
    mqtt_v3_3_1_2_21_password_flag_without_one: V3, connect(V3, 0xc2, &[text("c"), text("u")]);
    mqtt_v3_3_1_2_22_password_without_user_name: V3, connect(V3, 0x42, &[text("c"), text("p")]);
    mqtt_v5_3_1_3_3_no_client_id: V5, connect(V5, 2, &[]);
    mqtt_v3_3_1_3_3_no_client_id: V3, connect(V3, 2, &[]);
    mqtt_v5_3_1_3_4_ill_formed_client_id: V5, connect(V5, 2, &[text(b"\xff")]);
    mqtt_v3_3_1_3_4_ill_formed_client_id: V3, connect(V3, 2, &[text(b"\xff")]);
    mqtt_v5_3_1_3_11_ill_formed_will_topic: V5, connect(V5, 6, &[text("c"), vec![0], text(b"\xff"), text("")]);
    mqtt_v3_3_1_3_10_ill_formed_will_topic: V3, connect(V3, 6, &[text("c"), text(b"\xff"), text("")]);
    mqtt_v5_3_1_3_12_ill_formed_user_name: V5, connect(V5, 0x82, &[text("c"), text(b"\xff")]);
    mqtt_v3_3_1_3_11_ill_formed_user_name: V3, connect(V3, 0x82, &[text("c"), text(b"\xff")]);
    mqtt_v5_3_1_4_2_will_that_cannot_be_published: V5, connect(V5, 6, &[text("c"), vec![0], text("w/#"), text("")]);
    mqtt_v5_4_12_0_1_unknown_authentication_method: V5, Connect::new(V5, "c").with(0x15, text("SCRAM")).bytes();
    mqtt_v5_3_1_4_6_what_follows_a_refused_connect: V5, Connect::new(V5, "c").with(0x15, text("X")).bytes();
    mqtt_v3_3_1_4_5_what_follows_a_refused_connect: V3, connect(V3, 0, &[text("")]);
}

#[tokio::test]
async fn mqtt_v5_2_1_3_1_v3_2_2_2_1_2_2_2_2_reserved_flags_of_every_packet() {
    let broker = Broker::start().await;
    for version in [V3, V5] {
        for kind in [
            0x00, 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0,
        ] {
            let mut client = broker.client(version, "client").await;
            client.send([kind | 0x0f, 2, 0, 1]).await;
            let expected = if version == V5 { MALFORMED } else { 0 };
            assert_eq!(client.goodbye().await, expected, "{kind:#x}");
        }
    }
}

#[tokio::test]
async fn packets_that_only_a_broker_sends_are_refused() {
    let broker = Broker::start().await;
    for version in [V3, V5] {
        for bytes in [&[0x20, 3, 0, 0, 0][..], &[0x90, 4, 0, 1, 0, 0], &[0xd0, 0]] {
            let mut client = broker.client(version, "client").await;
            client.send(bytes).await;
            let reason = client.goodbye().await;
            assert!(version == V3 || [MALFORMED, PROTOCOL_ERROR].contains(&reason));
        }
    }
}
