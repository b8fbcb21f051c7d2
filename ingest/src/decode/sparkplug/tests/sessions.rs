//! No data is read by the birth certificate of a session that has ended.

use super::*;
use crate::decode::bench::Bench;

const NBIRTH: &[u8] = b"spBv1.0/g/NBIRTH/n";
const DBIRTH: &[u8] = b"spBv1.0/g/DBIRTH/n/d";
const NDATA: &[u8] = b"spBv1.0/g/NDATA/n";
const DDATA: &[u8] = b"spBv1.0/g/DDATA/n/d";
const NDEATH: &[u8] = b"spBv1.0/g/NDEATH/n";
const DDEATH: &[u8] = b"spBv1.0/g/DDEATH/n/d";

fn born() -> Bench {
    let mut bench = Bench::with_limit(vec![stream()], 1 << 20);
    bench.push(NBIRTH, &node_birth(0));
    bench.push(DBIRTH, &device_birth());
    bench
}

fn death(session: u64) -> Vec<u8> {
    let session = Metric {
        name: Some("bdSeq".into()),
        value: Some(MetricValue::Long(session)),
        ..Metric::default()
    };
    payload(1, 0, &[session])
}

/// Whether data of the edge node and of its device has rows, here and after a restart.
fn knows(mut bench: Bench) -> (bool, bool) {
    let node = payload(2_000, 1, &[aliased(1, MetricValue::Float(1.0))]);
    let device = payload(2_000, 2, &[aliased(2, MetricValue::Long(1))]);
    let mut later = Bench::with_limit(vec![stream()], 1 << 20);
    later.restore(&bench.finish().births);
    let has_row = |bench: &mut Bench, topic: &[u8], data: &[u8]| {
        bench.push(topic, data);
        bench.finish().rows == 1
    };
    let now = (
        has_row(&mut bench, NDATA, &node),
        has_row(&mut bench, DDATA, &device),
    );
    let then = (
        has_row(&mut later, NDATA, &node),
        has_row(&mut later, DDATA, &device),
    );
    assert_eq!(now, then, "a restart makes a difference");
    now
}

#[test]
fn a_birth_that_is_refused_ends_the_session_before() {
    assert_eq!(knows(born()), (true, true));
    let twice = [1, 2].map(|alias| named("a", alias, 3, MetricValue::Int(1)));
    let many: Vec<Metric> = (0..1_001)
        .map(|at| named(&format!("m{at}"), at, 3, MetricValue::Int(1)))
        .collect();
    let refused = [
        payload(1, 0, &twice),
        payload(1, 0, &many),
        b"\xff\xff".to_vec(),
        b"\x1f\x8bno gzip".to_vec(),
        Vec::new(),
        vec![0; 2 << 20],
    ];
    for payload in refused {
        let mut bench = born();
        bench.push(NBIRTH, &payload);
        assert_eq!(knows(bench), (false, false), "{:?}", payload.get(..20));
        let mut bench = born();
        bench.push(DBIRTH, &payload);
        assert_eq!(knows(bench), (true, false), "{:?}", payload.get(..20));
    }
}

#[test]
fn a_death_ends_its_own_session_only() {
    let mut bench = born();
    bench.push(DDEATH, &payload(3_000, 4, &[]));
    assert_eq!(knows(bench), (true, false));
    let mut bench = born();
    bench.push(NDEATH, &death(7));
    assert_eq!(knows(bench), (false, false));
    let mut bench = born();
    bench.push(NDEATH, &death(6));
    assert_eq!(knows(bench), (true, true));
    let mut bench = born();
    bench.push(NDEATH, &death(7));
    bench.push(NBIRTH, &node_birth(0));
    assert_eq!(knows(bench), (true, false));
}

#[test]
fn a_death_may_bring_columns() {
    let mut bench = born();
    let last = [
        named("last words", 9, 3, MetricValue::Int(1)),
        aliased(2, MetricValue::Long(1)),
    ];
    bench.push(DDEATH, &payload(3_000, 2, &last));
    let decoded = bench.finish();
    assert_eq!(
        (decoded.rows, decoded.dead_letters),
        (3, 0),
        "{:?}",
        reasons(&decoded)
    );
}

#[test]
fn births_that_fill_memory_are_refused_and_may_be_replaced() {
    let name = |at: usize| format!("{at:04}{}", "x".repeat(80));
    let metrics: Vec<Metric> = (0..900)
        .map(|at| named(&name(at), at as u64, 3, MetricValue::Int(1)))
        .collect();
    let birth = payload(1, 0, &metrics);
    let mut bench = Bench::with_limit(vec![stream()], 1 << 20);
    let mut nodes = 0;
    loop {
        bench.push(format!("spBv1.0/g/NBIRTH/n{nodes}").as_bytes(), &birth);
        let decoded = bench.finish();
        if decoded.sparkplug.births == 0 {
            let reason = reasons(&decoded).concat();
            assert!(reason.contains("too many birth certificates"), "{reason}");
            break;
        }
        nodes += 1;
    }
    assert!((30..120).contains(&nodes), "{nodes}");
    // One that takes the place of another needs no more room.
    bench.push(b"spBv1.0/g/NBIRTH/n0", &payload(2, 0, &metrics));
    assert_eq!(bench.finish().sparkplug.births, 1);
}

#[test]
fn an_empty_name_beside_an_alias_is_none() {
    let mut bench = born();
    let metric = Metric {
        name: Some(String::new()),
        ..aliased(1, MetricValue::Float(21.0))
    };
    bench.push(NDATA, &payload(2_000, 1, &[metric]));
    let decoded = bench.finish();
    assert!(lines(&decoded).concat().contains("\"motor_1_temp\":21.0"));
    assert_eq!(decoded.dead_letters, 0);
}
