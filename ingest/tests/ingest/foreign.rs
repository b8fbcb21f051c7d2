//! What other engines do to a table that streams fill, and where every message ends up.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use catalog::{CommitMeta, Content, Key, MergeOptions, Operation};
use iceberg::spec::{ListType, NestedField, PrimitiveType, TableMetadataBuilder, Type};
use ingest::{Ingest, StreamConfig};
use lake::{Alter, Lake, Table, TableSpec};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{House, TOPIC, dead_letters, decoded, numbered, publish_v5, table};

fn meta() -> CommitMeta {
    CommitMeta::new("other engine", "other engine")
}

/// A lakehouse with an ingester, and another engine's hands on it.
struct Scene {
    house: House,
    lake: Lake,
    ingest: Ingest,
    sent: usize,
}

impl Scene {
    async fn new() -> Self {
        let house = House::new();
        let mut config = house.config();
        let stream = StreamConfig::new("vans", "vans/{van}", vans());
        config.streams.push(stream);
        let lake = house.lake().await;
        let ingest = Ingest::start(config, lake.clone()).await.unwrap();
        Self {
            house,
            lake,
            ingest,
            sent: 0,
        }
    }

    /// Publishes messages, and waits until they are hot.
    async fn send(&mut self, messages: &[(&str, String)]) {
        let address = self.ingest.listen_addr().unwrap();
        publish_v5(address, "c", messages).await;
        self.sent += messages.len();
        decoded(&self.ingest, self.sent as u64).await;
    }

    async fn send_numbers(&mut self, range: std::ops::Range<usize>) {
        self.send(&numbered(range)).await;
    }

    async fn flush(&self) {
        self.ingest.flush().await.unwrap();
    }

    async fn table(&self, key: &Key) -> Table {
        let head = self.lake.catalog().head("main").await.unwrap();
        self.lake.table(&head, key).await.unwrap()
    }

    async fn commit(&self, operations: Vec<Operation>) {
        commit(&self.lake, operations).await;
    }

    async fn alter(&self, key: &Key, alters: &[Alter]) {
        let table = self.table(key).await;
        let staged = self.lake.stage_alter(&table, alters).await.unwrap();
        self.commit(vec![staged]).await;
    }

    /// Gives the table a column of any type, as other engines can.
    async fn add_column(&self, key: &Key, column: NestedField) {
        let table = self.table(key).await;
        let schema = table.metadata().current_schema();
        let mut fields = schema.as_struct().fields().to_vec();
        fields.push(Arc::new(column));
        let schema = iceberg::spec::Schema::builder().with_fields(fields);
        let location = table.metadata_location().to_owned();
        let metadata = table.metadata().clone();
        let built = TableMetadataBuilder::new_from_metadata(metadata, Some(location.clone()))
            .add_current_schema(schema.build().unwrap())
            .and_then(TableMetadataBuilder::build)
            .unwrap();
        let written = self.lake.write_metadata(built.metadata, Some(&location));
        let content = Content::IcebergTable {
            uuid: table.uuid(),
            metadata_location: written.await.unwrap(),
        };
        let key = key.clone();
        self.commit(vec![Operation::Put { key, content }]).await;
    }

    /// The column `n` of all rows in the files of a table, sorted.
    async fn rows(&self, key: &Key) -> Vec<usize> {
        let batches = self.batches(key).await;
        let columns = batches.iter().filter_map(|batch| batch.column_by_name("n"));
        let numbers = columns.flat_map(|column| match column.data_type() {
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values().iter();
                values.map(|n| *n as usize).collect::<Vec<_>>()
            }
            _ => {
                let values = column.as_string::<i32>().iter().flatten();
                values.map(|n| n.parse().unwrap()).collect()
            }
        });
        sorted(numbers.collect())
    }

    async fn batches(&self, key: &Key) -> Vec<RecordBatch> {
        let files = self.table(key).await.data_files().await.unwrap();
        let mut batches = Vec::new();
        for file in files.iter() {
            let path = self.house.lake_folder().join(file.path.to_string());
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
            batches.extend(reader.build().unwrap().map(Result::unwrap));
        }
        batches
    }

    /// The field `n` and the reason of every dead letter, by `n`.
    async fn letters(&self, key: &Key) -> Vec<(usize, String)> {
        let mut letters = Vec::new();
        for batch in self.batches(key).await {
            let payloads = batch["payload"].as_binary::<i64>().iter();
            let reasons = batch["reason"].as_string::<i32>().iter();
            assert_eq!(batch["topic"].null_count(), 0);
            for (payload, reason) in payloads.zip(reasons) {
                let payload: serde_json::Value = serde_json::from_slice(payload.unwrap()).unwrap();
                let n = payload["n"].to_string();
                let n = n.trim_matches('"').parse().unwrap();
                letters.push((n, reason.unwrap().to_owned()));
            }
        }
        letters.sort();
        letters
    }

    async fn finish(self) {
        assert_eq!(self.ingest.stats().last_error, None);
        assert_eq!(self.ingest.stats().watermark, self.sent as u64);
        self.ingest.shutdown().await.unwrap();
    }
}

async fn commit(lake: &Lake, operations: Vec<Operation>) {
    let head = lake.catalog().head("main").await.unwrap();
    let commit = lake.commit("main", meta(), &head, operations);
    commit.await.unwrap();
}

fn vans() -> Key {
    "vans.log".parse().unwrap()
}

fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

fn range(range: std::ops::Range<usize>) -> Vec<usize> {
    range.collect()
}

fn numbers(letters: &[(usize, String)]) -> Vec<usize> {
    letters.iter().map(|(n, _)| *n).collect()
}

fn van(range: std::ops::Range<usize>) -> Vec<(&'static str, String)> {
    range
        .map(|n| ("vans/v1", format!("{{\"n\":{n}}}")))
        .collect()
}

fn delete(key: Key) -> Operation {
    Operation::Delete { key }
}

/// A column that no writer of ours can fill.
fn nested(id: i32, name: &str, required: bool) -> NestedField {
    let element = NestedField::list_element(id + 1, Type::Primitive(PrimitiveType::Int), true);
    let list = Type::List(ListType::new(Arc::new(element)));
    NestedField::new(id, name, list, required)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_while_rows_are_hot_is_made_again() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    scene.flush().await;
    scene.send_numbers(5..10).await;
    scene.commit(vec![delete(table())]).await;
    scene.send_numbers(10..12).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, range(5..12));
    // And when nothing is hot.
    scene.commit(vec![delete(table())]).await;
    scene.send_numbers(12..15).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, range(12..15));
    assert_eq!(scene.ingest.stats().dead_letters, 0);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_table_keeps_its_rows_and_later_ones_get_a_new_table() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    scene.flush().await;
    scene.send_numbers(5..10).await;
    let old: Key = "pumps.old".parse().unwrap();
    let head = scene.lake.catalog().head("main").await.unwrap();
    let content = head.get(&table()).unwrap().unwrap();
    let key = old.clone();
    let renamed = vec![delete(table()), Operation::Put { key, content }];
    scene.commit(renamed).await;
    scene.send_numbers(10..12).await;
    scene.flush().await;
    assert_eq!(scene.rows(&old).await, range(0..5));
    assert_eq!(scene.rows(&table()).await, range(5..12));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_clash_with_a_table_made_anew_become_dead_letters() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    let fields = vec![
        Field::new("n", DataType::Utf8, true),
        Field::new("pump", DataType::Utf8, true),
    ];
    let spec = TableSpec {
        schema: Arc::new(Schema::new(fields)),
        ..TableSpec::default()
    };
    scene.commit(vec![delete(table())]).await;
    let key = table();
    let made = scene.lake.create_table("main", &key, &spec, meta());
    made.await.unwrap();
    scene.send(&[(TOPIC, "{\"n\":\"5\"}".to_owned())]).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, [5]);
    let letters = scene.letters(&dead_letters()).await;
    assert_eq!(numbers(&letters), range(0..5));
    let reason = &letters[0].1;
    assert!(reason.contains("a number where a string"), "{reason}");
    scene.send(&[(TOPIC, "{\"n\":\"6\"}".to_owned())]).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, [5, 6]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_clash_with_a_column_added_anew_become_dead_letters() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    scene.flush().await;
    scene.send_numbers(5..7).await;
    let text = Alter::AddColumn {
        name: "n".into(),
        data_type: DataType::Utf8,
    };
    let dropped = Alter::DropColumn("n".into());
    scene.alter(&table(), &[dropped.clone(), text]).await;
    scene.send_numbers(7..9).await;
    scene.flush().await;
    let letters = scene.letters(&dead_letters()).await;
    assert_eq!(numbers(&letters), range(5..9));
    assert_eq!(scene.rows(&table()).await, range(0..5));
    assert_eq!(scene.ingest.stats().dead_letters, 4);
    // A column that is only dropped comes back.
    scene.alter(&table(), &[dropped]).await;
    scene.send_numbers(9..11).await;
    scene.flush().await;
    let rows = scene.rows(&table()).await;
    assert_eq!(rows, [0, 1, 2, 3, 4, 9, 10]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_column_is_left_null() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    scene.add_column(&table(), nested(50, "tags", false)).await;
    scene.send_numbers(5..7).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, range(0..7));
    scene.ingest.shutdown().await.unwrap();
    // Also once the decoder knows of it.
    scene.ingest = scene.house.start().await;
    publish_v5(scene.ingest.listen_addr().unwrap(), "d", &numbered(7..9)).await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, range(0..9));
    assert_eq!(scene.ingest.stats().dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_required_column_become_dead_letters() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    let site = NestedField::required(50, "crew", Type::Primitive(PrimitiveType::String));
    scene.add_column(&table(), site).await;
    scene
        .send(&[(TOPIC, "{\"n\":5,\"crew\":\"a\"}".into())])
        .await;
    scene.flush().await;
    assert_eq!(scene.rows(&table()).await, [5]);
    let letters = scene.letters(&dead_letters()).await;
    assert_eq!(numbers(&letters), range(0..5));
    assert!(letters[0].1.contains("'crew' is required"), "{letters:?}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_nothing_holds_up_no_other() {
    let mut scene = Scene::new().await;
    scene.send_numbers(0..5).await;
    scene.send(&van(5..9)).await;
    scene.add_column(&table(), nested(50, "tags", true)).await;
    scene.flush().await;
    assert_eq!(scene.rows(&vans()).await, range(5..9));
    let letters = scene.letters(&dead_letters()).await;
    assert_eq!(numbers(&letters), range(0..5));
    assert!(letters[0].1.contains("tags"), "{letters:?}");
    assert_eq!(scene.ingest.stats().commits, 1);

    // A damaged one, too.
    let content = Content::IcebergTable {
        uuid: scene.table(&table()).await.uuid(),
        metadata_location: scene.lake.store().location(&"nowhere.json".into()),
    };
    scene.send_numbers(9..11).await;
    let key = table();
    let damage = vec![Operation::Put { key, content }];
    let head = scene.lake.catalog().head("main").await.unwrap();
    let catalog = scene.lake.catalog();
    let damaged = catalog.commit_operations("main", meta(), head.id(), damage);
    damaged.await.unwrap();
    scene.send(&van(11..13)).await;
    scene.flush().await;
    assert_eq!(scene.rows(&vans()).await, [5, 6, 7, 8, 11, 12]);
    let letters = scene.letters(&dead_letters()).await;
    assert_eq!(numbers(&letters), [0, 1, 2, 3, 4, 9, 10]);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_find_another_table_when_theirs_takes_none() {
    let mut scene = Scene::new().await;
    scene.send(&[(TOPIC, "{\"n\":0,\"ts\":true}".into())]).await;
    scene.flush().await;
    scene.send(&[(TOPIC, "{\"n\":1,\"ts\":true}".into())]).await;
    let by = NestedField::required(50, "by", Type::Primitive(PrimitiveType::String));
    scene.add_column(&dead_letters(), by).await;
    scene.send_numbers(2..4).await;
    scene.flush().await;
    assert_eq!(numbers(&scene.letters(&dead_letters()).await), [0]);
    let second: Key = "ingest.dead_letters_2".parse().unwrap();
    assert_eq!(numbers(&scene.letters(&second).await), [1]);
    assert_eq!(scene.rows(&table()).await, [2, 3]);
    scene.commit(vec![delete(dead_letters())]).await;
    scene.send(&[(TOPIC, "{\"n\":4,\"ts\":true}".into())]).await;
    scene.flush().await;
    let all = [second, dead_letters()];
    let mut found = Vec::new();
    for key in &all {
        let head = scene.lake.catalog().head("main").await.unwrap();
        if head.contains(key).unwrap() {
            found.extend(numbers(&scene.letters(key).await));
        }
    }
    assert_eq!(sorted(found), [1, 4]);
    scene.finish().await;
}

/// An ingester that commits as often as it can, under messages.
async fn busy(house: &House, messages: usize) -> (Ingest, tokio::task::JoinHandle<()>) {
    let mut config = house.config();
    config.flush_interval = std::time::Duration::from_millis(20);
    let ingest = Ingest::start(config, house.lake().await).await.unwrap();
    let address = ingest.listen_addr().unwrap();
    publish_v5(address, "first", &numbered(0..1)).await;
    let publishing = tokio::spawn(async move {
        for n in 1..messages {
            publish_v5(address, "c", &numbered(n..n + 1)).await;
        }
    });
    (ingest, publishing)
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_under_load_loses_and_doubles_nothing() {
    let house = House::new();
    let lake = house.lake().await;
    let (ingest, publishing) = busy(&house, 300).await;
    let mut keys = vec![table()];
    while !publishing.is_finished() {
        let head = lake.catalog().head("main").await.unwrap();
        let Some(content) = head.get(&table()).unwrap() else {
            tokio::task::yield_now().await;
            continue;
        };
        let key: Key = format!("pumps.old_{}", keys.len()).parse().unwrap();
        keys.push(key.clone());
        let renamed = vec![delete(table()), Operation::Put { key, content }];
        // Ingest may have been faster.
        if lake.commit("main", meta(), &head, renamed).await.is_err() {
            keys.pop();
        }
    }
    publishing.await.unwrap();
    // Whoever waits hears of an attempt that the last rename still overtook; later ones do not fail.
    let mut flushed = ingest.flush().await;
    for _ in 0..5 {
        if flushed.is_err() {
            flushed = ingest.flush().await;
        }
    }
    flushed.unwrap();
    let scene = Scene {
        house,
        lake,
        ingest,
        sent: 300,
    };
    let head = scene.lake.catalog().head("main").await.unwrap();
    let mut rows = Vec::new();
    for key in keys.iter().filter(|key| head.contains(key).unwrap()) {
        rows.extend(scene.rows(key).await);
    }
    assert!(keys.len() > 1);
    assert_eq!(sorted(rows), range(0..300));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_under_load_loses_and_doubles_nothing() {
    let house = House::new();
    let lake = house.lake().await;
    let (ingest, publishing) = busy(&house, 200).await;
    ingest.flush().await.unwrap();
    let catalog = lake.catalog();
    catalog.create_branch("side", "main", "test").await.unwrap();
    let mut expected = range(0..200);
    let (mut n, key) = (1_000, table());
    while !publishing.is_finished() {
        let column = arrow::array::Float64Array::from(vec![n as f64]);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(column) as _)]).unwrap();
        let appended = lake.append_batches("side", &key, vec![batch], meta());
        appended.await.unwrap();
        expected.push(n);
        n += 1;
        for (source, target) in [("side", "main"), ("main", "side")] {
            let merged = lake.merge(source, target, &MergeOptions::default()).await;
            merged.unwrap().into_result().unwrap();
        }
    }
    publishing.await.unwrap();
    ingest.flush().await.unwrap();
    let scene = Scene {
        house,
        lake,
        ingest,
        sent: 200,
    };
    assert!(n > 1_000);
    assert_eq!(scene.rows(&table()).await, expected);
    scene.finish().await;
}
