//! Rows written in each format come back as they were.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::config::PayloadFormat;

/// Microseconds in the years 1 to 9999, a double, a long, a text, a truth.
type Row = (i64, f64, i64, String, bool);

fn row() -> impl Strategy<Value = Row> {
    let finite = prop::num::f64::NORMAL | prop::num::f64::ZERO;
    (
        -62_135_596_800_000_000_i64..=253_402_300_799_999_999,
        finite,
        any::<i64>(),
        "[a-zA-Z ,\"\\\\=\n\u{e4}\u{1f600}]{1,12}",
        any::<bool>(),
    )
}

fn stream_of(format: PayloadFormat) -> StreamConfig {
    StreamConfig {
        format,
        time_format: crate::config::TimeFormat::Us,
        ..stream(&[("n", "long"), ("text", "string")])
    }
}

fn read(format: PayloadFormat, payload: &str) -> Vec<Row> {
    let decoded = pushed(stream_of(format), &[payload.as_bytes()]);
    assert_eq!(decoded.dead_letters, 0, "{payload:?} {:?}", decoded.batches);
    let mut rows = Vec::new();
    for (_, batch) in &decoded.batches {
        for at in 0..batch.num_rows() {
            rows.push((
                batch["ts"]
                    .as_primitive::<TimestampMicrosecondType>()
                    .value(at),
                batch["flow"].as_primitive::<Float64Type>().value(at),
                batch["n"].as_primitive::<Int64Type>().value(at),
                batch["text"].as_string::<i32>().value(at).to_owned(),
                batch["on"].as_boolean().value(at),
            ));
        }
    }
    rows
}

fn json(rows: &[Row]) -> String {
    let objects = rows.iter().map(|(ts, flow, n, text, on)| {
        serde_json::json!({"ts": ts, "flow": flow, "n": n, "text": text, "on": on})
    });
    serde_json::Value::Array(objects.collect()).to_string()
}

fn csv(rows: &[Row]) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["ts", "flow", "n", "text", "on"])
        .unwrap();
    for (ts, flow, n, text, on) in rows {
        let values = [
            ts.to_string(),
            format!("{flow:?}"),
            n.to_string(),
            text.clone(),
            on.to_string(),
        ];
        writer.write_record(values).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn line_protocol(rows: &[Row]) -> String {
    let mut out = String::new();
    for (ts, flow, n, text, on) in rows {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(out, "m flow={flow:?},n={n}i,text=\"{text}\",on={on} {ts}").unwrap();
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(rows in prop::collection::vec(row(), 1..6)) {
        prop_assert_eq!(&read(PayloadFormat::Json, &json(&rows)), &rows);
        prop_assert_eq!(&read(PayloadFormat::Csv, &csv(&rows)), &rows);
        prop_assert_eq!(&read(PayloadFormat::LineProtocol, &line_protocol(&rows)), &rows);
    }

    #[test]
    fn names_and_tags_of_line_protocol_are_escaped(name in "[a-z ,=\u{e4}]{1,8}", tag in "[a-z ,=]{1,8}") {
        let escape = |text: &str| text.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
        let line = format!("{0},k{0}={1} f{0}=1i", escape(&name), escape(&tag));
        let stream = StreamConfig { format: PayloadFormat::LineProtocol, ..stream(&[]) };
        let batch = rows_of(stream, &[line.as_bytes()]);
        prop_assert_eq!(batch["measurement"].as_string::<i32>().value(0), name.as_str());
        prop_assert_eq!(batch[format!("k{name}").as_str()].as_string::<i32>().value(0), tag.as_str());
        prop_assert_eq!(batch[format!("f{name}").as_str()].as_primitive::<Int64Type>().value(0), 1);
    }
}
