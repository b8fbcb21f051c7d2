//! Objects and arrays in fields: structs, lists, or text.

use arrow::datatypes::Fields;

use super::*;
use crate::config::Nested;

#[test]
fn objects_become_structs_that_grow() {
    let decoded = pushed(
        stream(&[]),
        &[
            br#"{"motor":{"temp":71.5,"on":true,"note":null,"empty":{}}}"#,
            br#"{"motor":{"temp":72,"bearing":{"front":1,"rear":[1,null,2.5]}}}"#,
            br#"{"motor":null}"#,
            br#"{"motor":{}}"#,
            br#"{}"#,
        ],
    );
    assert_eq!((decoded.rows, decoded.dead_letters), (5, 0));
    let all: Vec<String> = decoded.batches.iter().flat_map(|(_, b)| lines(b)).collect();
    assert_eq!(
        all,
        [
            r#"{"motor":{"temp":71.5,"on":true}}"#,
            r#"{"motor":{"temp":72.0,"bearing":{"front":1.0,"rear":[1.0,null,2.5]}}}"#,
            "{}",
            r#"{"motor":{}}"#,
            "{}",
        ]
    );
}

#[test]
fn arrays_of_objects_become_lists_of_structs() {
    let payloads: [&[u8]; 2] = [
        br#"{"spectrum":[{"hz":50,"a":0.1},{"hz":100,"phase":2}]}"#,
        br#"{"spectrum":[]}"#,
    ];
    let all = lines(&rows_of(stream(&[]), &payloads));
    let first = r#"{"spectrum":[{"hz":50.0,"a":0.1},{"hz":100.0,"phase":2.0}]}"#;
    assert_eq!(all, [first, r#"{"spectrum":[]}"#]);
}

#[test]
fn what_has_no_one_type_is_json_text() {
    let text = |payload: &str| {
        let batch = rows(&[], &[payload]);
        batch["v"].as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(text(r#"{"v":[1,"x"]}"#), r#"[1,"x"]"#);
    assert_eq!(text(r#"{"v":{"a.b":1}}"#), r#"{"a.b":1}"#);
    assert_eq!(text(r#"{"v":{"":1}}"#), r#"{"":1}"#);
}

#[test]
fn text_stays_text_where_it_is_asked_for() {
    let as_text = StreamConfig {
        nested: Nested::Text,
        ..stream(&[])
    };
    let payloads: [&[u8]; 2] = [br#"{"v":{"a":[1]}}"#, br#"{"v":[{"b":2.0}]}"#];
    let expected = [r#"{"a":[1]}"#, r#"[{"b":2.0}]"#];
    for stream in [as_text, stream(&[("v", "string")])] {
        let batch = rows_of(stream, &payloads);
        let texts: Vec<_> = batch["v"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(texts, expected);
    }
}

#[test]
fn clashes_inside_say_where() {
    let cases: &[(&[&str], &str)] = &[
        (
            &[r#"{"m":{"t":1}}"#, r#"{"m":{"t":"x"}}"#],
            "'m.t': a string where a double",
        ),
        (
            &[r#"{"m":{"t":1}}"#, r#"{"m":5}"#],
            "'m': a number where a struct",
        ),
        (
            &[r#"{"m":5}"#, r#"{"m":{"t":1}}"#],
            "'m': an object where a double",
        ),
        (
            &[r#"{"m":[1]}"#, r#"{"m":[true]}"#],
            "'m[]': a boolean where a double",
        ),
        (
            &[r#"{"m":[{"a":1}]}"#, r#"{"m":[{"a":1,"a":2}]}"#],
            "'m[].a': appears twice",
        ),
        (&[r#"{"m":{"t":1}}"#, r#"{"m":{"a.b":1}}"#], "has a dot"),
        (
            &[r#"{"m":{"t":1}}"#, r#"{"m":{"u":9007199254740993}}"#],
            "declare it as long",
        ),
    ];
    for (payloads, expected) in cases {
        let reason = reason(&[], payloads);
        assert!(reason.contains(expected), "{payloads:?}: {reason}");
    }
}

#[test]
fn declared_structs_hold_and_grow_beside() {
    let columns = [("m", "struct<n: long, at: timestamp, l: list<int>>")];
    let payload = r#"{"m":{"n":9007199254740993,"at":"2020-03-09T10:15:15Z","l":[1,2],"extra":1}}"#;
    let batch = rows(&columns, &[payload]);
    let expected =
        r#"{"m":{"n":9007199254740993,"at":"2020-03-09T10:15:15Z","l":[1,2],"extra":1.0}}"#;
    assert_eq!(lines(&batch), [expected]);
    let wide = reason(&columns, &[r#"{"m":{"l":[5000000000]}}"#]);
    assert!(wide.contains("does not fit the declared"), "{wide}");
    assert!(reason(&columns, &[r#"{"m":{"n":1.5}}"#]).contains("'m.n'"));
}

#[test]
fn undeclared_columns_of_a_table_widen() {
    let mut bench = Bench::new(vec![stream(&[])]);
    let narrow = |name: &str, kind: &str| {
        arrow::datatypes::Field::new(name, Kind::parse(kind).unwrap().data_type(), true)
    };
    bench.begin(
        "pumps.telemetry",
        vec![
            narrow("site", "string"),
            narrow("pump", "string"),
            narrow("ts", "timestamp"),
            narrow("n", "int"),
            narrow("f", "float"),
            narrow("m", "struct<n: int>"),
        ],
    );
    let topic = b"pumps/north/p7/telemetry";
    bench.push(topic, br#"{"n":1,"f":1.5,"m":{"n":2}}"#);
    bench.push(
        topic,
        br#"[{"n":5000000000},{"f":16777217},{"m":{"n":-5000000000}},{"f":1e300}]"#,
    );
    let decoded = bench.finish();
    assert_eq!((decoded.rows, decoded.dead_letters), (5, 0));
    let schema = decoded.batches.last().unwrap().1.schema();
    let kind = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
    assert_eq!(kind("n"), DataType::Int64);
    assert_eq!(kind("f"), DataType::Float64);
    assert_eq!(
        kind("m"),
        DataType::Struct(Fields::from(vec![narrow("n", "long")]))
    );
}

#[test]
fn a_small_payload_makes_no_large_batch() {
    let wide: Vec<String> = (0..900).map(|n| format!("\"f{n}\":1")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let many = format!("[{}]", vec!["{}"; 3_000].join(","));
    let decoded = pushed(stream(&[]), &[wide.as_bytes(), many.as_bytes()]);
    assert_eq!((decoded.rows, decoded.dead_letters), (3_001, 0));
    let mut bench = Bench::with_limit(vec![stream(&[])], 1 << 20);
    bench.push(b"pumps/a/b/telemetry", wide.as_bytes());
    let many = format!("[{}]", vec!["{}"; 200_000].join(","));
    bench.push(b"pumps/a/b/telemetry", many.as_bytes());
    let decoded = bench.finish();
    assert_eq!((decoded.rows, decoded.dead_letters), (1, 1));
    let inner = format!(r#"{{"l":[{wide}]}}"#);
    let list = format!(r#"{{"l":{many}}}"#);
    let mut bench = Bench::with_limit(vec![stream(&[])], 1 << 20);
    bench.push(b"pumps/a/b/telemetry", inner.as_bytes());
    bench.push(b"pumps/a/b/telemetry", list.as_bytes());
    let decoded = bench.finish();
    assert_eq!((decoded.rows, decoded.dead_letters), (1, 1));
}
