//! The row rule from topic and payload to columns, and that no bytes break it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};

use super::bench::{Bench, RECEIVED};
use super::*;
use crate::config::{BrokerConfig, Source, StreamConfig};

mod formats;
mod nested;
mod round_trip;
mod swarm;

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

/// A bench with the stream, and the payloads pushed.
fn pushed(stream: StreamConfig, payloads: &[&[u8]]) -> Decoded {
    let mut bench = Bench::new(vec![stream]);
    for payload in payloads {
        bench.push(b"pumps/north/p7/telemetry", payload);
    }
    bench.finish()
}

/// All rows that a stream makes of the payloads, in one batch.
fn rows_of(stream: StreamConfig, payloads: &[&[u8]]) -> RecordBatch {
    let decoded = pushed(stream, payloads);
    assert_eq!(decoded.dead_letters, 0, "{:?}", decoded.batches);
    assert_eq!(decoded.batches.len(), 1);
    decoded.batches[0].1.clone()
}

/// The reason the last payload becomes a dead letter for.
fn reason_of(stream: StreamConfig, payloads: &[&[u8]]) -> String {
    let decoded = pushed(stream, payloads);
    assert_eq!(decoded.dead_letters, 1, "{payloads:?}");
    let (_, letters) = decoded.batches.last().unwrap();
    letters["reason"].as_string::<i32>().value(0).to_owned()
}

fn rows(columns: &[(&str, &str)], payloads: &[&str]) -> RecordBatch {
    let payloads: Vec<&[u8]> = payloads.iter().map(|p| p.as_bytes()).collect();
    rows_of(stream(columns), &payloads)
}

fn reason(columns: &[(&str, &str)], payloads: &[&str]) -> String {
    let payloads: Vec<&[u8]> = payloads.iter().map(|p| p.as_bytes()).collect();
    reason_of(stream(columns), &payloads)
}

/// Rows as JSON lines, without the columns every row here has.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
    let common = ["site", "pump", "ts"];
    let fields = batch.schema_ref().fields().iter().enumerate();
    let kept = fields.filter(|(_, field)| !common.contains(&field.name().as_str()));
    let kept: Vec<usize> = kept.map(|(at, _)| at).collect();
    writer.write(&batch.project(&kept).unwrap()).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
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
    let decoded = pushed(stream(&[]), &[br#"{"a":1}"#, br#"{"a":2,"b":3}"#]);
    assert_eq!((decoded.rows, decoded.batches.len()), (2, 2));
    assert!(decoded.batches[1].1.column_by_name("b").is_some());
}

#[test]
fn a_message_that_needs_columns_half_way_is_whole_or_nothing() {
    let decoded = pushed(
        stream(&[]),
        &[
            br#"[{"a":1},{"a":2}]"#,
            br#"[{"a":3},{"b":1},{"c":true},{"a":"x"}]"#,
            br#"[{"a":3},{"b":1},{"c":true},{"a":4}]"#,
        ],
    );
    assert_eq!((decoded.rows, decoded.dead_letters), (6, 1));
    let all = decoded
        .batches
        .iter()
        .filter_map(|(_, b)| b.column_by_name("a"));
    let values = all.flat_map(|a| a.as_primitive::<Float64Type>().iter().flatten());
    assert_eq!(values.collect::<Vec<_>>(), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_group_of_large_rows_makes_several_batches() {
    let mut table =
        table::TableRows::new(Arc::new(Schema::new(vec![arrow::datatypes::Field::new(
            "a",
            DataType::Utf8,
            true,
        )])));
    for n in 0..5 {
        let cells = vec![convert::Cell::Text("x".into()), convert::Cell::Null];
        let bytes = if n == 2 { 1 << 30 } else { 1 };
        table.append(rows::Cells { cells, bytes }, 1);
    }
    let rows: Vec<usize> = table
        .take()
        .unwrap()
        .iter()
        .map(RecordBatch::num_rows)
        .collect();
    assert_eq!(rows, [6, 4]);
    assert!(table.take().unwrap().is_empty());
}
