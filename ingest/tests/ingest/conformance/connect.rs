//! CONNECT and CONNACK, keep alive, goodbye.

use super::Broker;
use super::client::{BOTH, Client, Connect, DISCONNECT, Publish, V3, V5, Will, packet, text};

#[tokio::test]
async fn mqtt_v5_3_1_4_5_3_2_0_1_3_2_2_1_3_2_2_8_v3_3_1_4_4_3_2_0_1_a_connect_is_answered_first() {
    let broker = Broker::start().await;
    for version in BOTH {
        // Packets behind the CONNECT do not come before it.
        let mut client = Client::open(broker.address, version).await;
        let connect = Connect::new(version, "client").bytes();
        client.send([&connect[..], &[0xc0, 0]].concat()).await;
        let ack = client.expect(0x20).await;
        assert_eq!(&ack.body[..2], [0, 0]);
        client.expect(0xd0).await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_2_0_2_one_connack_for_each_connection() {
    let broker = Broker::start().await;
    let mut client = broker.client(V5, "client").await;
    client.send(Connect::new(V5, "client").bytes()).await;
    let packets = client.closed().await;
    assert!(packets.iter().all(|p| p.first == DISCONNECT), "{packets:?}");
}

#[tokio::test]
async fn mqtt_v5_3_1_3_1_v3_3_1_3_1_all_fields_in_order() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut body = text("MQTT");
        let (level, none) = match version {
            V3 => (4, &[][..]),
            V5 => (5, &[0][..]),
        };
        body.extend([level, 0xc6, 0, 0]);
        body.extend(none);
        body.extend(text("client"));
        body.extend(none);
        for field in ["will/topic", "will", "user", "password"] {
            body.extend(text(field));
        }
        let mut client = Client::open(broker.address, version).await;
        client.send(packet(0x10, &body)).await;
        assert_eq!(client.expect(0x20).await.body[1], 0);
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_3_5_v3_3_1_3_5_client_ids_of_all_letters_and_lengths() {
    let broker = Broker::start().await;
    for version in BOTH {
        for id in [
            "0",
            "0123456789abcdefghijklm",
            "nopqrstuvwxyzABCDEFGHIJ",
            "KLMNOPQRSTUVWXYZ",
        ] {
            broker.client(version, id).await.ping().await;
        }
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_3_6_3_1_3_7_3_2_2_16_an_id_is_assigned() {
    let broker = Broker::start().await;
    let mut ids = Vec::new();
    for clean in [true, false] {
        let mut connect = Connect::new(V5, "");
        connect.clean = clean;
        let (client, welcome) = broker.connect(&connect).await;
        ids.push(welcome.prop(0x12).expect("an assigned id").to_vec());
        drop(client);
    }
    assert_ne!(ids[0], ids[1]);
    // It is as good as one that the client has chosen.
    let id = std::str::from_utf8(&ids[0][2..]).unwrap();
    let (mut client, _) = broker.connect(&Connect::lasting(V5, id)).await;
    client.ping().await;
}

#[tokio::test]
async fn mqtt_v3_3_1_3_6_an_id_is_assigned() {
    let broker = Broker::start().await;
    let mut first = broker.client(V3, "").await;
    let mut second = broker.client(V3, "").await;
    first.ping().await;
    second.ping().await;
}

#[tokio::test]
async fn mqtt_v5_3_2_2_6_3_2_2_7_3_14_0_1_v3_3_1_3_8_3_1_3_9_3_2_2_4_3_2_2_5_a_refusal_closes() {
    let broker = Broker::start().await;
    let mut empty = Connect::new(V3, "");
    empty.clean = false;
    let (mut client, welcome) = broker.try_connect(&empty).await;
    assert_eq!((welcome.present, welcome.code), (false, 2));
    assert_eq!(client.closed().await, []);
    let unknown = Connect::new(V5, "c").with(0x15, text("SCRAM"));
    let (mut client, welcome) = broker.try_connect(&unknown).await;
    assert_eq!((welcome.present, welcome.code), (false, 0x8c));
    assert_eq!(client.closed().await, []);
}

#[tokio::test]
async fn mqtt_v3_3_1_2_2_an_unknown_level_is_refused_with_1() {
    let broker = Broker::start().await;
    let mut client = Client::open(broker.address, V3).await;
    client
        .send(packet(0x10, b"\0\x04MQTT\x63\x02\0\0\0\x01c"))
        .await;
    assert_eq!(client.expect(0x20).await.body, [0, 1]);
    assert_eq!(client.closed().await, []);
}

#[tokio::test]
async fn mqtt_v3_3_2_2_6_3_1_4_1_without_a_code_the_connection_is_closed() {
    let broker = Broker::start().await;
    let mut client = Client::open(broker.address, V3).await;
    client
        .send(packet(0x10, b"\0\x04MQTT\x04\x03\0\0\0\x01c"))
        .await;
    assert_eq!(client.closed().await, []);
}

#[tokio::test]
async fn mqtt_v5_3_2_2_19_3_2_2_20_a_reason_string_that_fits() {
    let broker = Broker::start().await;
    let refused = Connect::new(V5, "c").with(0x15, text("SCRAM"));
    let (_, welcome) = broker.try_connect(&refused).await;
    assert!(welcome.prop(0x1f).is_some());
    let (_, welcome) = broker.try_connect(&refused.with(0x27, [0, 0, 0, 10])).await;
    assert_eq!((welcome.prop(0x1f), welcome.prop(0x26)), (None, None));
    assert!(welcome.packet.size <= 10);
}

#[tokio::test]
async fn mqtt_v5_3_1_2_22_3_2_2_22_v3_3_1_2_24_silence_beyond_the_keep_alive() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut connect = Connect::new(version, "client");
        connect.keep_alive = 1;
        let (mut client, welcome) = broker.connect(&connect).await;
        assert_eq!(welcome.prop(0x13), None, "the client's own value holds");
        let expected = if version == V5 { 0x8d } else { 0 };
        assert_eq!(client.goodbye().await, expected);
    }
}

#[tokio::test]
async fn bytes_that_make_no_packet_do_not_keep_a_connection_alive() {
    let broker = Broker::start().await;
    let mut connect = Connect::new(V5, "client");
    connect.keep_alive = 1;
    let (mut client, _) = broker.connect(&connect).await;
    client.send([0x30, 100]).await;
    for _ in 0..9 {
        client.send([0]).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(client.goodbye().await, 0x8d);
}

#[tokio::test]
async fn a_long_keep_alive_is_shortened_where_the_broker_says_so() {
    let broker = Broker::with(|c| c.max_keep_alive = std::time::Duration::from_secs(7)).await;
    for (asked, granted) in [(0, Some(&[0, 7][..])), (8, Some(&[0, 7])), (6, None)] {
        let mut connect = Connect::new(V5, "client");
        connect.keep_alive = asked;
        let (_, welcome) = broker.connect(&connect).await;
        assert_eq!(welcome.prop(0x13), granted);
    }
}

#[tokio::test]
async fn mqtt_v5_3_12_4_1_v3_3_12_4_1_a_ping_is_answered() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut client = broker.client(version, "client").await;
        client.ping().await;
        client.ping().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_4_3_3_14_2_1_3_14_4_1_3_14_4_2_v3_3_1_4_2_a_client_id_is_taken_over() {
    let broker = Broker::start().await;
    for version in BOTH {
        let mut first = broker.client(version, "same").await;
        let mut second = broker.client(version, "same").await;
        let expected = if version == V5 { 0x8e } else { 0 };
        assert_eq!(first.goodbye().await, expected);
        second.ping().await;
        second.leave().await;
    }
}

#[tokio::test]
async fn mqtt_v5_3_1_2_28_response_information_only_on_request() {
    let broker = Broker::start().await;
    let (_, welcome) = broker.connect(&Connect::new(V5, "c")).await;
    assert_eq!(welcome.prop(0x1a), None);
    let (_, welcome) = broker.connect(&Connect::new(V5, "c").with(0x19, [0])).await;
    assert_eq!(welcome.prop(0x1a), None);
    let (_, welcome) = broker.connect(&Connect::new(V5, "c").with(0x19, [1])).await;
    assert!(welcome.prop(0x1a).is_some());
}

#[tokio::test]
async fn mqtt_v5_3_1_2_29_4_12_0_6_no_words_where_none_are_wanted() {
    let broker = Broker::start().await;
    let (mut client, welcome) = broker.connect(&Connect::new(V5, "c").with(0x17, [0])).await;
    assert_eq!(welcome.prop(0x15), None);
    client.send(Publish::new("$SYS/x", "", 1).bytes(V5)).await;
    let ack = client.expect(0x40).await;
    assert_eq!((ack.reason(), ack.body.len()), (0x87, 3));
}

#[tokio::test]
async fn mqtt_v5_3_14_2_2_3_14_2_3_3_14_2_4_goodbyes_are_bare() {
    let broker = Broker::start().await;
    let (mut client, _) = broker
        .connect(&Connect::lasting(V5, "c").with(0x27, [0, 0, 0, 9]))
        .await;
    client.send([0xc1, 0]).await;
    let packets = client.closed().await;
    assert_eq!(packets[0].body, [0x81, 0]);
}

#[tokio::test]
async fn mqtt_v5_4_2_0_1_v3_7_1_1_1_7_0_0_2_plain_tcp_serves_any_conformant_client() {
    let broker = Broker::start().await;
    for version in BOTH {
        // Byte by byte, as a stream may bring it.
        let mut client = Client::open(broker.address, version).await;
        let will = Will::new("w", "gone");
        for byte in Connect::new(version, "slow").will(will).bytes() {
            client.send([byte]).await;
        }
        client.expect(0x20).await;
        for byte in Publish::new("a", "{}", 9).bytes(version) {
            client.send([byte]).await;
        }
        assert_eq!(client.expect(0x40).await.id(), 9);
    }
}
