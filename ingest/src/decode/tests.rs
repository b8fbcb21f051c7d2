//! The row rule from topic and payload to columns, and that no bytes break it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;
use crate::config::{BrokerConfig, Source, StreamConfig};

const RECEIVED: i64 = 1_700_000_000_000_000;

fn stream(columns: &[(&str, &str)]) -> StreamConfig {
    let own = |(name, kind): &(&str, &str)| ((*name).to_owned(), (*kind).to_owned());
    let topic = "pumps/{site}/{pump}/telemetry";
    let table = "pumps.telemetry".parse().unwrap();
    StreamConfig {
        columns: columns.iter().map(own).collect::<BTreeMap<_, _>>(),
        nested: crate::config::Nested::Struct,
        ..StreamConfig::new("telemetry", topic, table)
    }
}

fn decoder(columns: &[(&str, &str)]) -> Decoder {
    let source = Source::Embedded(BrokerConfig::default());
    let mut config = IngestConfig::new("unused", source, vec![stream(columns)]);
    config.max_message_bytes = 1_000;
    config.validate().unwrap();
    Decoder::new(&config).unwrap()
}

fn message(topic: &str, payload: &[u8]) -> Message {
    Message {
        client: 1,
        packet_id: 1,
        dup: false,
        received: RECEIVED,
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// Pushes a payload, giving the table every column it asks for.
fn push(decoder: &mut Decoder, schema: &mut Option<SchemaRef>, payload: &str) {
    let message = message("pumps/north/p7/telemetry", payload.as_bytes());
    while let Err(need) = decoder.push(&message, 4) {
        let merged = match schema.take() {
            None => need.spec.schema,
            Some(old) => Arc::new(
                Schema::try_merge([old.as_ref().clone(), need.columns.as_ref().clone()]).unwrap(),
            ),
        };
        decoder.set_schema(&need.key, &merged).unwrap();
        *schema = Some(merged);
    }
}

/// The one batch of rows that the payloads make.
fn rows(columns: &[(&str, &str)], payloads: &[&str]) -> RecordBatch {
    let mut decoder = decoder(columns);
    let mut schema = None;
    for payload in payloads {
        push(&mut decoder, &mut schema, payload);
    }
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.dead_letters, 0, "{:?}", decoded.batches);
    assert_eq!(decoded.batches.len(), 1);
    decoded.batches[0].1.clone()
}

/// The reason the last payload becomes a dead letter for.
fn reason(columns: &[(&str, &str)], payloads: &[&str]) -> String {
    let mut decoder = decoder(columns);
    let mut schema = None;
    for payload in payloads {
        push(&mut decoder, &mut schema, payload);
    }
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.dead_letters, 1, "{payloads:?}");
    assert_eq!(decoded.rows, payloads.len() - 1);
    let (_, letters) = decoded.batches.last().unwrap();
    letters["reason"].as_string::<i32>().value(0).to_owned()
}

#[test]
fn a_row_takes_columns_from_topic_and_payload() {
    let batch = rows(
        &[],
        &[
            r#"{"ts":"2020-03-09 10:15:15.25","flow":3,"on":true,"mode":"auto","extra":{"a":[1]},"none":null}"#,
        ],
    );
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(names, ["site", "pump", "ts", "flow", "on", "mode", "extra"]);
    assert_eq!(batch["site"].as_string::<i32>().value(0), "north");
    assert_eq!(batch["pump"].as_string::<i32>().value(0), "p7");
    let times = batch["ts"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_583_748_915_250_000);
    assert_eq!(times.timezone(), Some("+00:00"));
    assert_eq!(batch["flow"].as_primitive::<Float64Type>().value(0), 3.0);
    assert!(batch["on"].as_boolean().value(0));
    let extra = batch["extra"].as_struct().column(0).as_list::<i32>();
    let elements = extra.value(0);
    assert_eq!(elements.as_primitive::<Float64Type>().values(), &[1.0]);
}

#[test]
fn a_new_table_is_partitioned_by_time_and_sorted_by_device() {
    let mut decoder = decoder(&[("serial", "long")]);
    let message = message("pumps/north/p7/telemetry", br#"{"flow":1}"#);
    let spec = decoder.push(&message, 1).unwrap_err().spec;
    assert_eq!(spec.partition, [lake::PartitionField::day("ts")]);
    assert_eq!(spec.sort, ["pump", "ts"]);
    assert_eq!(spec.bloom, ["pump"]);
    let serial = spec.schema.field_with_name("serial").unwrap();
    assert_eq!(serial.data_type(), &DataType::Int64);
}

#[test]
fn time_may_be_absent_null_or_an_epoch() {
    let batch = rows(
        &[],
        &[
            "{\"v\":1}",
            r#"{"ts":null}"#,
            r#"{"ts":1700000000}"#,
            r#"{"ts":1700000000.5}"#,
        ],
    );
    let times = batch["ts"].as_primitive::<TimestampMicrosecondType>();
    let expected = [RECEIVED, RECEIVED, RECEIVED, RECEIVED + 500_000];
    assert_eq!(times.values(), &expected);
    assert_eq!(batch["v"].null_count(), 3);
}

#[test]
fn declared_types_hold() {
    let columns = [("n", "long"), ("d", "double")];
    let batch = rows(&columns, &[r#"{"n":9007199254740993,"d":5}"#]);
    let n = batch["n"].as_primitive::<Int64Type>();
    assert_eq!(n.value(0), 9_007_199_254_740_993);
    assert!(reason(&columns, &[r#"{"n":1}"#, r#"{"n":1.5}"#]).contains("'n'"));
    assert!(reason(&columns, &[r#"{"n":"1"}"#]).contains("a string where a long belongs"));
}

#[test]
fn what_is_no_row_says_why() {
    let cases: &[(&[&str], &str)] = &[
        (&["not json"], "not a JSON object"),
        (&["[1,2]"], "not a JSON object"),
        (&["[]"], "holds no rows"),
        (
            &[r#"{"v":1}"#, r#"{"v":"x"}"#],
            "a string where a double belongs",
        ),
        (&[r#"{"v":9007199254740993}"#], "declare it as long"),
        (&[r#"{"ts":"soon"}"#], "'soon' is no timestamp"),
        (&[r#"{"ts":true}"#], "timestamp"),
        (&[r#"{"site":"south"}"#], "differs from 'north'"),
        (&[r#"{"v":1}"#, r#"{"v":1,"v":2}"#], "appears twice"),
        (&[r#"{"w":1,"w":2}"#], "appears twice"),
    ];
    for (payloads, expected) in cases {
        let reason = reason(&[], payloads);
        assert!(reason.contains(expected), "{payloads:?}: {reason}");
    }
    assert_eq!(rows(&[], &[r#"{"site":"north"}"#]).num_rows(), 1);
}

#[test]
fn unknown_topics_and_large_payloads_are_dead_letters() {
    let mut decoder = decoder(&[]);
    let large = format!("{{\"v\":\"{}\"}}", "x".repeat(1_000));
    decoder.push(&message("nowhere", b"{}"), 1).unwrap();
    let too_large = message("pumps/north/p7/telemetry", large.as_bytes());
    decoder.push(&too_large, 1).unwrap();
    let decoded = decoder.finish().unwrap();
    let (key, letters) = &decoded.batches[0];
    assert_eq!(key.to_string(), "ingest.dead_letters");
    let reasons = letters["reason"].as_string::<i32>();
    assert_eq!(reasons.value(0), "no stream matches the topic");
    assert!(reasons.value(1).contains("larger than the 1000 allowed"));
    let streams = letters["stream"].as_string::<i32>();
    assert!(streams.is_null(0) && streams.value(1) == "telemetry");
    assert_eq!(
        letters["payload"].as_binary::<i32>().value(1),
        large.as_bytes()
    );
}

#[test]
fn a_new_field_cuts_the_batch() {
    let mut decoder = decoder(&[]);
    let mut schema = None;
    push(&mut decoder, &mut schema, r#"{"a":1}"#);
    push(&mut decoder, &mut schema, r#"{"a":2,"b":3}"#);
    let decoded = decoder.finish().unwrap();
    assert_eq!((decoded.rows, decoded.batches.len()), (2, 2));
    assert!(decoded.batches[1].1.column_by_name("b").is_some());
}

proptest! {
    /// Any bytes are a row, a dead letter or a wish for columns, never a panic.
    #[test]
    fn no_bytes_break_it(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = decoder(&[]);
        let _ = decoder.push(&message("pumps/a/b/telemetry", &payload), 1);
        decoder.finish().unwrap();
    }

    /// The same for what looks like JSON.
    #[test]
    fn no_json_breaks_it(payload in r#"\{("[a-c]":(-?[0-9]{1,25}(\.[0-9]{1,3})?(e[0-9]{1,3})?|"[^"]{0,9}"|null|true|\[\]|\{\}),?){0,4}\}"#) {
        let mut decoder = decoder(&[("a", "timestamp"), ("b", "int")]);
        let mut schema = None;
        push(&mut decoder, &mut schema, &payload);
        let decoded = decoder.finish().unwrap();
        prop_assert_eq!(decoded.rows + decoded.dead_letters, 1);
    }
}
