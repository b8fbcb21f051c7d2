//! Payloads of every format through a running ingester: each message is rows or a dead letter.

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Float64Type};
use ingest::{Nested, PayloadFormat, StreamConfig};

use crate::support::{House, TOPIC, dead_letters, publish_v4, publish_v5, table, until};

const MESSAGES: usize = 20_000;

/// A small generator, so that every run sends the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }
}

fn stream(name: &str, format: PayloadFormat) -> StreamConfig {
    let key = format!("odd.{name}").parse().unwrap();
    let fields = match format {
        PayloadFormat::Csv => vec!["v".to_owned(), "text".to_owned()],
        _ => Vec::new(),
    };
    StreamConfig {
        format,
        fields,
        ..StreamConfig::new(name, format!("{name}/{{pump}}"), key)
    }
}

/// One message of one line, which is a row at most, with up to three bytes changed.
fn odd(dice: &mut Dice) -> (&'static str, Vec<u8>) {
    let (topic, payload) = match dice.below(3) {
        0 => (
            "json/p1",
            r#"{"v":1.5,"on":true,"m":{"t":71,"l":[1,2]},"ts":1583748915}"#,
        ),
        1 => ("csv/p1", "1.5,text"),
        _ => (
            "lines/p1",
            "pump,k=a v=1.5,n=7i,text=\"x\" 1583748915000000000",
        ),
    };
    let mut payload = payload.as_bytes().to_vec();
    for _ in 0..dice.below(4) {
        // The first byte stays, and no line is added: an array, or two lines, would be two rows.
        let at = 1 + dice.below(payload.len() - 1);
        payload[at] = match dice.below(4) {
            0 => b" \"\\{}[],:=-0e."[dice.below(14)],
            _ => 14 + dice.below(242) as u8,
        };
    }
    if dice.below(50) == 0 {
        payload.truncate(1 + dice.below(payload.len() - 1));
    }
    (topic, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_messages_are_rows_or_dead_letters_and_counted() {
    let house = House::new();
    let mut config = house.config();
    config.streams = vec![
        stream("json", PayloadFormat::Json),
        stream("csv", PayloadFormat::Csv),
        stream("lines", PayloadFormat::LineProtocol),
    ];
    let ingest = ingest::Ingest::start(config, house.lake().await)
        .await
        .unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let messages: Vec<_> = (0..MESSAGES).map(|_| odd(&mut dice)).collect();
    for part in messages.chunks(5_000) {
        publish_v5(ingest.listen_addr().unwrap(), "odd", part).await;
    }
    ingest.flush().await.unwrap();
    let mut rows = 0;
    for name in ["json", "csv", "lines"] {
        let found = house
            .committed(&format!("odd.{name}").parse().unwrap())
            .await;
        assert!(found > 1_000, "{found} rows of {name}");
        rows += found;
    }
    let letters = house.committed(&dead_letters()).await;
    assert!(letters > 1_000, "{letters} dead letters");
    assert_eq!(rows + letters, MESSAGES as u64);
    let stats = ingest.stats();
    assert_eq!((stats.rows, stats.dead_letters), (rows, letters));
    ingest.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_objects_are_columns_that_grow_and_widen() {
    let house = House::new();
    let mut config = house.config();
    let stream = &mut config.streams[0];
    stream.nested = Nested::Struct;
    stream.columns = [("m".to_owned(), "struct<f: float>".to_owned())].into();
    let start = |config| async { ingest::Ingest::start(config, house.lake().await).await };
    let ingest = start(config.clone()).await.unwrap();
    let first = [(TOPIC, r#"{"m":{"f":0.5},"v":{"a":1}}"#.to_owned())];
    publish_v4(ingest.listen_addr().unwrap(), "c", &first).await;
    ingest.flush().await.unwrap();
    ingest.shutdown().await.unwrap();

    // Nothing is declared any more, so the float may become a double.
    config.streams[0].columns.clear();
    let ingest = start(config).await.unwrap();
    let wider = [
        (
            TOPIC,
            r#"{"m":{"f":1e300},"v":{"b":[{"x":"y"}]}}"#.to_owned(),
        ),
        (TOPIC, r#"{"m":5}"#.to_owned()),
    ];
    publish_v4(ingest.listen_addr().unwrap(), "c", &wider).await;
    until("both are decoded", || ingest.stats().dead_letters == 1).await;
    let hot = house.hot(&ingest, &table()).await;
    let m = hot.last().unwrap()["m"].as_struct().column(0);
    assert_eq!(m.as_primitive::<Float64Type>().value(0), 1e300);
    ingest.flush().await.unwrap();
    assert_eq!(house.committed(&table()).await, 2);
    assert_eq!(house.committed(&dead_letters()).await, 1);
    ingest.shutdown().await.unwrap();
}

/// A metric `temp` of alias 1: with its name and datatype, or the alias alone.
fn temperature(birth: bool, value: f32) -> Vec<u8> {
    let mut metric = Vec::new();
    if birth {
        metric.extend_from_slice(&[0x0a, 4]);
        metric.extend_from_slice(b"temp");
        metric.extend_from_slice(&[0x20, 9]);
    }
    metric.extend_from_slice(&[0x10, 1, 0x65]);
    metric.extend_from_slice(&value.to_le_bytes());
    let mut payload = vec![0x08, 1, 0x12, metric.len() as u8];
    payload.extend_from_slice(&metric);
    payload
}

#[tokio::test(flavor = "multi_thread")]
async fn sparkplug_data_is_read_by_a_birth_before_the_restart() {
    let house = House::new();
    let mut config = house.config();
    config.streams = vec![StreamConfig {
        format: PayloadFormat::SparkplugB,
        ..StreamConfig::new("cells", "spBv1.0/#", table())
    }];
    let start = |config| async { ingest::Ingest::start(config, house.lake().await).await };
    let ingest = start(config.clone()).await.unwrap();
    let early = [
        ("spBv1.0/g/NDATA/n", temperature(false, 1.0)),
        ("spBv1.0/g/NBIRTH/n", temperature(true, 2.0)),
    ];
    publish_v5(ingest.listen_addr().unwrap(), "n", &early).await;
    ingest.flush().await.unwrap();
    let stats = ingest.stats().sparkplug;
    assert_eq!((stats.births, stats.data_before_birth), (1, 1));
    ingest.shutdown().await.unwrap();

    let ingest = start(config).await.unwrap();
    let late = [("spBv1.0/g/NDATA/n", temperature(false, 3.0))];
    publish_v5(ingest.listen_addr().unwrap(), "n", &late).await;
    until("the data is a row", || ingest.stats().rows == 1).await;
    let hot = house.hot(&ingest, &table()).await;
    assert_eq!(hot[0]["temp"].as_primitive::<Float32Type>().value(0), 3.0);
    assert_eq!(hot[0]["edge_node"].as_string::<i32>().value(0), "n");
    ingest.shutdown().await.unwrap();
    assert_eq!(house.committed(&table()).await, 2);
}
