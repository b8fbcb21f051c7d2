//! CSV, line protocol, compressed bodies and formats of time, from payload to rows.

use super::*;
use crate::config::{Compression, PayloadFormat, TimeFormat};
use crate::decode::compression::tests::{gzipped, zstd_of};

fn csv(fields: &[&str]) -> StreamConfig {
    StreamConfig {
        format: PayloadFormat::Csv,
        fields: fields.iter().map(|&f| f.to_owned()).collect(),
        ..stream(&[("code", "string"), ("count", "long")])
    }
}

fn line_protocol() -> StreamConfig {
    StreamConfig {
        format: PayloadFormat::LineProtocol,
        ..stream(&[])
    }
}

fn micros(batch: &RecordBatch) -> Vec<i64> {
    let times = batch["ts"].as_primitive::<TimestampMicrosecondType>();
    times.values().to_vec()
}

#[test]
fn csv_lines_are_rows() {
    let payload = "ts,flow,on,code,count,at,id\r\n\
        2020-03-09T10:15:15.25Z,1.5,true,007,9007199254740993,2020-03-09 10:15:15,007\r\n\
        ,-2,false,,,,\"a,\"\"b\"\"\"\r\n";
    let batch = rows_of(csv(&[]), &[payload.as_bytes()]);
    assert_eq!(micros(&batch), [1_583_748_915_250_000, RECEIVED]);
    let all = lines(&batch);
    assert_eq!(
        all[0],
        r#"{"flow":1.5,"on":true,"code":"007","count":9007199254740993,"at":"2020-03-09T10:15:15Z","id":"007"}"#
    );
    assert_eq!(all[1], r#"{"flow":-2.0,"on":false,"id":"a,\"b\""}"#);
}

#[test]
fn csv_fields_may_be_named_by_the_stream() {
    let stream = csv(&["ts", "flow", "site"]);
    let batch = rows_of(stream.clone(), &[b"1583748915250,1.5,north\n1583748916,2,"]);
    assert_eq!(
        micros(&batch),
        [1_583_748_915_250_000, 1_583_748_916_000_000]
    );
    assert_eq!(lines(&batch)[1], r#"{"flow":2.0}"#);
    let flow: &[u8] = b"1583748915250,1.5,north";
    let cases: [(&[u8], &str); 7] = [
        (b"1,2", "2 values where 3 belong"),
        (b"1,2,north\n1", "not CSV"),
        (b"1,\"2,3", "a quote is not closed"),
        (b"soon,1,", "'soon' is no timestamp"),
        (b"1,x,", "'x' where a double belongs"),
        (b"1,1,south", "differs from 'north'"),
        (b"", "holds no rows"),
    ];
    for (payload, expected) in cases {
        let reason = reason_of(stream.clone(), &[flow, payload]);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn line_protocol_points_are_rows() {
    let payload = "# a comment\n\
        pump,rotor=a\\ b flow=1.5,n=9007199254740993i,u=5u,on=t,mode=\"x y\" 1583748915250000000\n\
        motor temp=71";
    let batch = rows_of(line_protocol(), &[payload.as_bytes()]);
    assert_eq!(micros(&batch), [1_583_748_915_250_000, RECEIVED]);
    let all = lines(&batch);
    assert_eq!(
        all[0],
        r#"{"measurement":"pump","rotor":"a b","flow":1.5,"n":9007199254740993,"u":5,"on":true,"mode":"x y"}"#
    );
    assert_eq!(all[1], r#"{"measurement":"motor","temp":71.0}"#);
    let cases: [(&[u8], &str); 5] = [
        (b"pump", "line 1: ' ' is missing"),
        (b"pump v=1\npump v=x", "line 2"),
        (b"pump v=1,v=2", "'v' appears twice"),
        (b"pump,site=south v=1", "differs from 'north'"),
        (b"pump v=18446744073709551615u", "does not fit a long"),
    ];
    for (payload, expected) in cases {
        let reason = reason_of(line_protocol(), &[payload]);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn precision_of_line_protocol_is_the_stream_s() {
    let seconds = StreamConfig {
        time_format: TimeFormat::S,
        ..line_protocol()
    };
    let batch = rows_of(seconds.clone(), &[b"m v=1 1583748915"]);
    assert_eq!(micros(&batch), [1_583_748_915_000_000]);
    let far = reason_of(seconds, &[b"m v=1 1583748915000000000"]);
    assert!(far.contains("is no timestamp in seconds"), "{far}");
}

#[test]
fn bodies_may_be_compressed() {
    let plain = br#"{"v":1}"#;
    let gzip = gzipped(plain);
    let zstd = zstd_of(plain);
    let all = rows_of(stream(&[]), &[plain, &gzip, &zstd]);
    assert_eq!(lines(&all), [r#"{"v":1.0}"#; 3]);
    let only = |compression| StreamConfig {
        compression,
        ..stream(&[])
    };
    assert!(reason_of(only(Compression::Gzip), &[plain]).contains("not gzip"));
    assert!(reason_of(only(Compression::Zstd), &[&gzip]).contains("not zstd"));
    assert!(reason_of(only(Compression::None), &[&gzip]).contains("not a JSON"));
    let bomb = zstd_of(&vec![b' '; 1 << 20]);
    assert!(reason_of(stream(&[]), &[&bomb]).contains("larger than 80000 bytes"));
}

#[test]
fn a_dead_letter_holds_the_payload_as_received() {
    let bomb = gzipped(&vec![b' '; 1 << 20]);
    let decoded = pushed(stream(&[]), &[&bomb]);
    let (_, letters) = &decoded.batches[0];
    assert_eq!(letters["payload"].as_binary::<i32>().value(0), bomb);
}

#[test]
fn times_keep_to_their_format() {
    let with = |time_format| StreamConfig {
        time_format,
        ..stream(&[])
    };
    let arrival = rows_of(with(TimeFormat::Arrival), &[br#"{"ts":"whenever","v":1}"#]);
    assert_eq!(micros(&arrival), [RECEIVED]);
    let nanos = rows_of(
        with(TimeFormat::Ns),
        &[br#"{"ts":1999}"#, br#"{"ts":"-1"}"#],
    );
    assert_eq!(micros(&nanos), [1, -1]);
    for payload in [
        r#"{"ts":1}"#,
        r#"{"ts":"1"}"#,
        r#"{"ts":"10000-01-01T00:00:00Z"}"#,
    ] {
        let reason = reason_of(with(TimeFormat::Rfc3339), &[payload.as_bytes()]);
        assert!(reason.contains("is no timestamp of RFC 3339"), "{reason}");
    }
    let far = reason_of(with(TimeFormat::Ms), &[br#"{"ts":9223372036854775807}"#]);
    assert!(far.contains("is no timestamp in milliseconds"), "{far}");
}
