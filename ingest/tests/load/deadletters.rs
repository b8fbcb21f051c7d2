//! Letters that are mended become rows exactly once; the others stay.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use ingest::deadletters::{Filter, Replayed, TopicEdit, list, replay};
use ingest::{BrokerConfig, IngestConfig, PayloadFormat, Source, StreamConfig};

use crate::support::House;

const LETTERS: &str = "ingest.dead_letters";
const ROWS: &str = "pumps.telemetry";

/// Time of arrival, topic, payload, reason, stream.
type Letter<'a> = (i64, &'a str, &'a str, &'a str, Option<&'a str>);

async fn post(house: &House, letters: &[Letter<'_>]) {
    let texts = |of: fn(&Letter<'_>) -> Option<String>| {
        Arc::new(letters.iter().map(of).collect::<StringArray>()) as ArrayRef
    };
    let received = letters
        .iter()
        .map(|it| Some(it.0))
        .collect::<TimestampMicrosecondArray>();
    let payload = letters
        .iter()
        .map(|it| Some(it.2.as_bytes()))
        .collect::<BinaryArray>();
    let columns: [(&str, ArrayRef); 5] = [
        ("received_at", Arc::new(received.with_timezone("+00:00"))),
        ("topic", texts(|it| Some(it.1.to_owned()))),
        ("payload", Arc::new(payload)),
        ("reason", texts(|it| Some(it.3.to_owned()))),
        ("stream", texts(|it| it.4.map(str::to_owned))),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)));
    house.append(LETTERS, batch.unwrap()).await;
}

fn config(house: &House, columns: &[(&str, &str)]) -> IngestConfig {
    let source = Source::Embedded(BrokerConfig::default());
    let columns = columns
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()));
    let stream = StreamConfig {
        columns: columns.collect(),
        ..StreamConfig::new("telemetry", "pumps/{pump}", ROWS.parse().unwrap())
    };
    IngestConfig::new(house.path("node"), source, vec![stream])
}

async fn send(
    house: &House,
    config: &IngestConfig,
    filter: &Filter,
    edit: Option<&str>,
) -> Replayed {
    let edit: Option<TopicEdit> = edit.map(|edit| edit.parse().unwrap());
    replay(&house.lake, config, filter, edit.as_ref(), "tester", false)
        .await
        .unwrap()
}

async fn letters(house: &House) -> Vec<String> {
    let table = LETTERS.parse().unwrap();
    let listing = list(&house.lake, "main", &table, &Filter::default(), 100)
        .await
        .unwrap();
    assert_eq!(listing.count as usize, listing.newest.len());
    let newest = listing.newest.iter();
    newest
        .map(|it| {
            format!(
                "{} {} {} {}",
                it.received,
                it.topic,
                String::from_utf8_lossy(&it.payload),
                it.reason
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sparkplug_data_is_not_read_by_births_among_the_letters() {
    let house = House::new().await;
    let birth = "\x08\x05\x12\x09\x0a\x01t\x10\x01\x20\x03P\x07\x18\x00";
    let aliased = "\x08\x06\x12\x04\x10\x01P\x08\x18\x01";
    let named = "\x08\x07\x12\x07\x0a\x01t\x20\x03P\x09\x18\x02";
    let (of, s) = (
        |kind: &str| format!("spBv1.0/g/{kind}/n"),
        Some("telemetry"),
    );
    let (nbirth, ndata) = (of("NBIRTH"), of("NDATA"));
    post(
        &house,
        &[
            (1_000_000, &nbirth, birth, "no", s),
            (2_000_000, &ndata, aliased, "no", s),
            (3_000_000, &ndata, named, "no", s),
        ],
    )
    .await;
    let source = Source::Embedded(BrokerConfig::default());
    let stream = StreamConfig {
        format: PayloadFormat::SparkplugB,
        ..StreamConfig::new("telemetry", "spBv1.0/#", ROWS.parse().unwrap())
    };
    let config = IngestConfig::new(house.path("node"), source, vec![stream]);
    let all = Filter::default();
    for dry_run in [true, false] {
        let done = replay(&house.lake, &config, &all, None, "me", dry_run);
        let done = done.await.unwrap();
        assert_eq!((done.letters, done.failed), (3, 1), "{:?}", done.reasons);
        let reason = done.reasons.keys().next().unwrap();
        assert!(reason.contains("without its birth"), "{reason}");
    }
    assert_eq!(house.rows(ROWS).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mended_letters_become_rows_and_the_others_stay() {
    let house = House::new().await;
    let s = Some("telemetry");
    post(
        &house,
        &[
            (
                1_000_000,
                "pumps/a",
                r#"{"temp":"warm"}"#,
                "field 'temp': a string where a double belongs",
                s,
            ),
            (
                2_000_000,
                "pumps/b",
                r#"{"temp":"hot","ts":"1970-01-01T00:01:00Z"}"#,
                "field 'temp': a string where a double belongs",
                s,
            ),
            (3_000_000, "pumps/c", "no json", "old reason", s),
            (
                4_000_000,
                "other/d",
                r#"{"temp":"x"}"#,
                "no stream matches the topic",
                None,
            ),
        ],
    )
    .await;
    let config = config(&house, &[("temp", "string")]);
    let done = send(&house, &config, &Filter::default(), None).await;
    assert_eq!((done.letters, done.failed, done.commits.len()), (4, 2, 1));
    assert_eq!(done.rows.values().sum::<u64>(), 2);
    // The time of arrival stands in where the message has none.
    let rows = house.rows(ROWS).await;
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .any(|row| row.contains("1970-01-01T00:00:01Z") && row.contains("warm")),
        "{rows:?}"
    );
    assert!(
        rows.iter()
            .any(|row| row.contains("1970-01-01T00:01:00Z") && row.contains("hot")),
        "{rows:?}"
    );
    let left = letters(&house).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("4000000 other/d"));
    assert!(
        left[1].starts_with("3000000 pumps/c no json") && !left[1].contains("old reason"),
        "{left:?}"
    );

    // Once more: nothing is doubled, and nothing is committed for nothing.
    let head = house.head().await;
    let done = send(&house, &config, &Filter::default(), None).await;
    assert_eq!((done.letters, done.failed, done.commits.len()), (2, 2, 0));
    assert_eq!(house.head().await, head);
    assert_eq!(house.rows(ROWS).await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_meant_is_sent_and_topics_can_be_edited() {
    let house = House::new().await;
    let none = "no stream matches the topic";
    post(
        &house,
        &[
            (1, "pump/a", r#"{"t":1}"#, none, None),
            (2, "pump/b", "broken", none, None),
            (3, "pump/c", r#"{"t":3}"#, none, None),
            (
                4,
                "pumps/d",
                r#"{"t":4}"#,
                "something else",
                Some("telemetry"),
            ),
        ],
    )
    .await;
    let config = config(&house, &[]);
    let filter = Filter {
        reason: Some("NO STREAM".into()),
        since: Some(2),
        ..Filter::default()
    };
    let done = send(&house, &config, &filter, Some("pump/=pumps/")).await;
    assert_eq!((done.letters, done.failed), (2, 1));
    let rows = house.rows(ROWS).await;
    assert!(rows.len() == 1 && rows[0].contains("c"), "{rows:?}");
    let left = letters(&house).await;
    assert_eq!(left.len(), 3);
    assert!(
        left[1].starts_with("2 pump/b broken") && !left[1].contains(none),
        "its own topic stays: {left:?}"
    );
    let filter = Filter {
        stream: Some("telemetry".into()),
        ..Filter::default()
    };
    let done = send(&house, &config, &filter, None).await;
    assert_eq!(
        (done.letters, done.failed),
        (2, 1),
        "the failed one has a stream by now"
    );
    assert_eq!(letters(&house).await.len(), 2);
    assert_eq!(house.rows(ROWS).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_says_the_same() {
    let house = House::new().await;
    let s = Some("telemetry");
    post(
        &house,
        &[
            (1, "pumps/a", r#"{"t":1}"#, "old", s),
            (2, "pumps/a", r#"{"t":1,"new":"x"}"#, "old", s),
            (3, "pumps/a", r#"{"t":"no number"}"#, "old", s),
        ],
    )
    .await;
    let config = config(&house, &[]);
    let head = house.head().await;
    let dry = replay(
        &house.lake,
        &config,
        &Filter::default(),
        None,
        "tester",
        true,
    )
    .await
    .unwrap();
    assert_eq!(house.head().await, head);
    let done = send(&house, &config, &Filter::default(), None).await;
    assert_eq!(
        (dry.letters, dry.failed, &dry.rows),
        (done.letters, done.failed, &done.rows)
    );
    assert_eq!((done.letters, done.failed), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn alike_letters_keep_their_number() {
    let house = House::new().await;
    let twin = (1, "pumps/a", r#"{"t":1}"#, "old", Some("telemetry"));
    let bad = (1, "pumps/a", "bad", "old", Some("telemetry"));
    post(&house, &[twin, bad, twin, bad, bad]).await;
    post(&house, &[twin, bad]).await;
    let config = config(&house, &[]);
    let done = send(&house, &config, &Filter::default(), None).await;
    assert_eq!((done.letters, done.failed, done.commits.len()), (7, 4, 1));
    assert_eq!(
        (house.rows(ROWS).await.len(), letters(&house).await.len()),
        (3, 4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replays_at_once_double_nothing() {
    let house = House::new().await;
    let payloads: Vec<String> = (0..50).map(|n| format!("{{\"n\":{n}}}")).collect();
    for group in payloads.chunks(10) {
        let group: Vec<_> = group
            .iter()
            .map(|it| (1, "pumps/a", it.as_str(), "old", Some("telemetry")))
            .collect();
        post(&house, &group).await;
    }
    let config = config(&house, &[("n", "long")]);
    let (filter, all) = (Filter::default(), 50);
    let once = || replay(&house.lake, &config, &filter, None, "tester", false);
    let (one, two) = tokio::join!(once(), once());
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");
    once().await.unwrap();
    assert_eq!(house.rows(ROWS).await.len(), all);
    assert!(letters(&house).await.is_empty());
}
