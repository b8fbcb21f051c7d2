//! Births, data and deaths in turn.

mod sessions;

use arrow::array::AsArray;
use bytes::Bytes;
use prost::Message as _;

use super::names::columns;
use super::proto::{Metric, MetricValue, Payload};
use crate::config::{PayloadFormat, StreamConfig};
use crate::decode::bench::Bench;
use crate::decode::{Certificate, Decoded};

fn stream() -> StreamConfig {
    StreamConfig {
        format: PayloadFormat::SparkplugB,
        ..StreamConfig::new("cells", "spBv1.0/#", "plant.cells".parse().unwrap())
    }
}

fn named(name: &str, alias: u64, datatype: u32, value: MetricValue) -> Metric {
    Metric {
        name: Some(name.into()),
        alias: Some(alias),
        datatype: Some(datatype),
        value: Some(value),
        ..Metric::default()
    }
}

fn aliased(alias: u64, value: MetricValue) -> Metric {
    Metric {
        alias: Some(alias),
        value: Some(value),
        ..Metric::default()
    }
}

fn message(timestamp: u64, seq: u64, metrics: &[Metric]) -> Payload {
    let metrics = metrics.iter().map(|m| Bytes::from(m.encode_to_vec()));
    Payload {
        timestamp: Some(timestamp),
        metrics: metrics.collect(),
        seq: Some(seq),
        ..Payload::default()
    }
}

fn payload(timestamp: u64, seq: u64, metrics: &[Metric]) -> Vec<u8> {
    message(timestamp, seq, metrics).encode_to_vec()
}

/// Messages of an edge node, to make odd ones of.
pub(in crate::decode) fn samples() -> Vec<(&'static str, Payload)> {
    let bytes = MetricValue::Bytes(Bytes::from_static(&[1, 0, 0, 0, 0x80]));
    let births = vec![
        named("bdSeq", 0, 4, MetricValue::Long(1)),
        named("a/b", 1, 3, MetricValue::Int(7)),
        named("a b", 2, 10, MetricValue::Double(0.5)),
        named("flags", 3, 32, bytes.clone()),
        named("text", 4, 12, MetricValue::Text("x".into())),
        named("at", 5, 13, MetricValue::Long(1_583_748_915_250)),
    ];
    let data = |seq| {
        let late = Metric {
            timestamp: Some(5),
            ..aliased(1, MetricValue::Int(u32::MAX))
        };
        message(
            1_583_748_915_250,
            seq,
            &[
                aliased(2, MetricValue::Double(1.5)),
                late,
                aliased(3, bytes.clone()),
            ],
        )
    };
    vec![
        ("spBv1.0/g/NBIRTH/n", message(1_583_748_915_000, 0, &births)),
        (
            "spBv1.0/g/DBIRTH/n/d",
            message(1_583_748_915_000, 1, &births[1..]),
        ),
        ("spBv1.0/g/NDATA/n", data(2)),
        ("spBv1.0/g/DDATA/n/d", data(3)),
        ("spBv1.0/g/DDEATH/n/d", message(1_583_748_916_000, 4, &[])),
        ("spBv1.0/g/NDEATH/n", message(1, 0, &births[..1])),
    ]
}

fn node_birth(seq: u64) -> Vec<u8> {
    let session = Metric {
        name: Some("bdSeq".into()),
        datatype: Some(4),
        value: Some(MetricValue::Long(7)),
        ..Metric::default()
    };
    let temp = named("Motor 1/Temp", 1, 9, MetricValue::Float(20.5));
    payload(1_000, seq, &[session, temp])
}

fn device_birth() -> Vec<u8> {
    let count = named("count", 2, 4, MetricValue::Long(u64::MAX));
    let mode = named("mode", 3, 12, MetricValue::Text("auto".into()));
    payload(1_000, 1, &[count, mode])
}

fn lines(decoded: &Decoded) -> Vec<String> {
    let mut out = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
    for (key, batch) in &decoded.batches {
        if key.namespace == "plant" {
            writer.write(batch).unwrap();
        }
    }
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn reasons(decoded: &Decoded) -> Vec<String> {
    let letters = decoded
        .batches
        .iter()
        .filter(|(key, _)| key.namespace == "ingest");
    let texts = letters.flat_map(|(_, batch)| batch["reason"].as_string::<i32>().iter().flatten());
    texts.map(str::to_owned).collect()
}

#[test]
fn a_session_becomes_rows() {
    let mut bench = Bench::new(vec![stream()]);
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
    bench.push(b"spBv1.0/g/DBIRTH/n/d", &device_birth());
    let early = Metric {
        timestamp: Some(1_500),
        ..aliased(2, MetricValue::Long(5))
    };
    let null = Metric {
        alias: Some(3),
        is_null: Some(true),
        ..Metric::default()
    };
    let metrics = vec![aliased(2, MetricValue::Long(6)), null, early];
    bench.push(b"spBv1.0/g/DDATA/n/d", &payload(2_000, 2, &metrics));
    bench.push(
        b"spBv1.0/g/NDATA/n",
        &payload(2_000, 3, &[aliased(1, MetricValue::Float(21.0))]),
    );
    bench.push(b"spBv1.0/g/DDEATH/n/d", &payload(3_000, 4, &[]));
    let session = Metric {
        name: Some("bdSeq".into()),
        value: Some(MetricValue::Long(7)),
        ..Metric::default()
    };
    bench.push(b"spBv1.0/g/NDEATH/n", &payload(1, 0, &[session]));
    let decoded = bench.finish();
    assert_eq!(reasons(&decoded), [""; 0]);
    let of = |device: &str, rest: &str| {
        format!("{{\"group_id\":\"g\",\"edge_node\":\"n\",{device}{rest}}}")
    };
    let d = "\"device\":\"d\",";
    assert_eq!(
        lines(&decoded),
        [
            of(
                "",
                r#""seq":0,"online":true,"ts":"1970-01-01T00:00:01Z","bdseq":7,"motor_1_temp":20.5"#
            ),
            of(
                d,
                r#""seq":1,"online":true,"ts":"1970-01-01T00:00:01Z","count":-1,"mode":"auto""#
            ),
            of(d, r#""seq":2,"ts":"1970-01-01T00:00:02Z","count":6"#),
            of(d, r#""seq":2,"ts":"1970-01-01T00:00:01.500Z","count":5"#),
            of(
                "",
                r#""seq":3,"ts":"1970-01-01T00:00:02Z","motor_1_temp":21.0"#
            ),
            of(d, r#""seq":4,"online":false,"ts":"1970-01-01T00:00:03Z""#),
            of(
                "",
                r#""seq":0,"online":false,"ts":"2023-11-14T22:13:20Z","bdseq":7"#
            ),
        ]
    );
    assert_eq!(decoded.sparkplug.births, 2);
    assert_eq!((decoded.sparkplug.unborn, decoded.sparkplug.gaps), (0, 0));
    // And that each of them holds no more.
    assert_eq!(decoded.births.len(), 4);
}

#[test]
fn data_needs_a_birth_and_another_decoder_can_have_it() {
    let data = payload(2_000, 1, &[aliased(1, MetricValue::Float(21.0))]);
    let mut bench = Bench::new(vec![stream()]);
    bench.push(b"spBv1.0/g/NDATA/n", &data);
    let decoded = bench.finish();
    assert!(reasons(&decoded)[0].contains("no birth certificate of edge node 'n'"));
    assert_eq!(decoded.sparkplug.unborn, 1);
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
    let births: Vec<Certificate> = bench.finish().births;
    assert_eq!(births.len(), 1, "a redelivered birth says nothing new");

    let mut later = Bench::new(vec![stream()]);
    later.restore(&births);
    later.push(b"spBv1.0/g/NDATA/n", &data);
    let decoded = later.finish();
    assert_eq!((decoded.rows, decoded.births.len()), (1, 0));
    assert!(lines(&decoded)[0].contains("\"motor_1_temp\":21.0"));
}

#[test]
fn an_edge_node_born_anew_has_no_devices_yet() {
    let mut bench = Bench::new(vec![stream()]);
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
    bench.push(b"spBv1.0/g/DBIRTH/n/d", &device_birth());
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(9));
    bench.push(
        b"spBv1.0/g/DDATA/n/d",
        &payload(1, 10, &[aliased(2, MetricValue::Long(1))]),
    );
    let decoded = bench.finish();
    assert_eq!((decoded.rows, decoded.dead_letters), (3, 1));
    assert!(reasons(&decoded)[0].contains("since its edge node 'n' was born"));
}

#[test]
fn lost_messages_are_counted_and_rows_stay() {
    let mut bench = Bench::new(vec![stream()]);
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(254));
    for seq in [255, 0, 1, 1, 5, 6] {
        bench.push(b"spBv1.0/g/NDATA/n", &payload(1, seq, &[]));
    }
    let decoded = bench.finish();
    assert_eq!((decoded.rows, decoded.dead_letters), (7, 0));
    assert_eq!(decoded.sparkplug.gaps, 1);
}

#[test]
fn what_is_no_message_says_why() {
    let mut bench = Bench::new(vec![stream()]);
    bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
    let stale = Metric {
        name: Some("bdSeq".into()),
        value: Some(MetricValue::Long(6)),
        ..Metric::default()
    };
    let twice = vec![
        named("a", 1, 3, MetricValue::Int(1)),
        named("a", 2, 3, MetricValue::Int(1)),
    ];
    let same_alias = vec![
        named("a", 1, 3, MetricValue::Int(1)),
        named("b", 1, 3, MetricValue::Int(1)),
    ];
    let nameless = vec![aliased(1, MetricValue::Int(1))];
    let unknown = vec![named("a", 1, 99, MetricValue::Int(1))];
    let wrong = vec![aliased(1, MetricValue::Text("x".into()))];
    let stranger = vec![aliased(99, MetricValue::Int(1))];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "NDEATH/n",
            payload(1, 0, &[stale]),
            "session 7 was born since",
        ),
        ("NBIRTH/n", payload(1, 0, &twice), "metric 'a' twice"),
        ("NBIRTH/n", payload(1, 0, &same_alias), "alias 1 twice"),
        ("NBIRTH/n", payload(1, 0, &nameless), "has no name"),
        (
            "NBIRTH/n",
            payload(1, 0, &unknown),
            "datatype 99 makes no column",
        ),
        ("NBIRTH/n", b"\xff\xff".to_vec(), "not Sparkplug B"),
        ("NDATA/n", payload(1, 256, &[]), "above 255"),
        ("NDATA/n", payload(u64::MAX, 1, &[]), "is no timestamp"),
        (
            "NDATA/n",
            payload(1, 2, &wrong),
            "metric of alias 1: its value is none",
        ),
        (
            "NDATA/n",
            payload(1, 3, &stranger),
            "alias 99 is not in the birth certificate",
        ),
        ("NCMD/n", payload(1, 3, &[]), "command"),
    ];
    for (topic, payload, expected) in cases {
        // A birth that is refused ends the session.
        bench.push(b"spBv1.0/g/NBIRTH/n", &node_birth(0));
        bench.finish();
        bench.push(format!("spBv1.0/g/{topic}").as_bytes(), &payload);
        let reasons = reasons(&bench.finish());
        assert!(
            reasons.len() == 1 && reasons[0].contains(expected),
            "{topic}: {reasons:?}"
        );
    }
}

#[test]
fn compressed_payloads_are_sparkplug_s_own() {
    use std::io::Write;
    let inner = node_birth(0);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&inner).unwrap();
    let gzip = crate::decode::compression::tests::gzipped(&inner);
    for body in [zlib.finish().unwrap(), gzip] {
        let outer = Payload {
            uuid: Some(super::COMPRESSED.into()),
            body: Some(body.into()),
            ..Payload::default()
        };
        let mut bench = Bench::new(vec![stream()]);
        bench.push(b"spBv1.0/g/NBIRTH/n", &outer.encode_to_vec());
        let decoded = bench.finish();
        assert_eq!(
            (decoded.rows, decoded.sparkplug.births),
            (1, 1),
            "{:?}",
            reasons(&decoded)
        );
        let mut later = Bench::new(vec![stream()]);
        later.restore(&decoded.births);
        later.push(
            b"spBv1.0/g/NDATA/n",
            &payload(1, 1, &[aliased(1, MetricValue::Float(1.0))]),
        );
        assert_eq!(later.finish().rows, 1);
    }
}

#[test]
fn metrics_that_would_share_a_column_have_their_own() {
    let names = ["a/b", "a b"];
    let metrics = names.iter().zip(1..).map(|(name, alias)| {
        let value = u32::try_from(alias).unwrap();
        named(name, alias, 3, MetricValue::Int(value))
    });
    let mut bench = Bench::new(vec![stream()]);
    bench.push(
        b"spBv1.0/g/NBIRTH/n",
        &payload(1, 0, &metrics.collect::<Vec<_>>()),
    );
    let line = lines(&bench.finish()).remove(0);
    for (column, value) in columns(&names, "ts").iter().zip(1..) {
        assert!(line.contains(&format!("\"{column}\":{value}")), "{line}");
    }
}
