//! Random sequences of staged changes, against a model that maps files to their rows.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::DataType;
use futures::TryStreamExt;
use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat, TableMetadata};
use lake::{
    Alter, DataFile, Lake, PartitionField, Rewrite, RewriteKind, Table, TableSpec, Transform,
};
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use crate::support::{commit, head, key, lake, meta, reopened, schema};

#[derive(Clone, Debug)]
enum Step {
    /// Files of so many rows each.
    Append(Vec<u64>),
    /// Every nth live file goes, and files of so many rows come.
    Rewrite(usize, Vec<u64>, RewriteKind),
    Truncate,
    /// To the nth snapshot there is.
    Rollback(usize),
    AddColumn,
    Repartition,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || proptest::collection::vec(1..50_u64, 1..4);
    let kinds = [
        RewriteKind::Overwrite,
        RewriteKind::Delete,
        RewriteKind::Replace,
    ];
    let step = prop_oneof![
        6 => rows().prop_map(Step::Append),
        4 => (1..5_usize, rows(), proptest::sample::select(kinds.to_vec()))
            .prop_map(|(nth, rows, kind)| Step::Rewrite(nth, rows, kind)),
        1 => Just(Step::Truncate),
        2 => (0..20_usize).prop_map(Step::Rollback),
        1 => Just(Step::AddColumn),
        1 => Just(Step::Repartition),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A file's rows, data sequence number and partition spec, by location.
type Files = BTreeMap<String, (u64, i64, i32)>;

#[derive(Default)]
struct Model {
    live: Files,
    /// The files at every snapshot, by its id.
    history: HashMap<i64, Files>,
    /// Snapshots in the order they were made.
    ids: Vec<i64>,
    columns: usize,
    by_month: bool,
}

fn file(rows: u64) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!(
            "memory://lake/data/{}.parquet",
            uuid::Uuid::new_v4()
        ))
        .file_format(DataFileFormat::Parquet)
        .record_count(rows)
        .file_size_in_bytes(rows * 10)
        .build()
        .unwrap()
}

impl Model {
    async fn step(&mut self, lake: &Lake, step: Step) {
        let table = head(lake, &key()).await;
        let next = table.metadata().last_sequence_number() + 1;
        let spec_id = table.metadata().default_partition_spec_id();
        let operation = match step {
            Step::Append(rows) if !self.by_month => {
                let files: Vec<_> = rows.into_iter().map(file).collect();
                self.gain(&files, next, spec_id);
                lake.stage_append(&table, files, BTreeMap::new()).await
            }
            Step::Rewrite(nth, rows, kind) if !self.by_month => {
                let live = table.data_files().await.unwrap();
                let removed: Vec<_> = live.iter().step_by(nth).cloned().collect();
                for file in &removed {
                    self.live.remove(file.file.file_path()).unwrap();
                }
                let added: Vec<_> = rows.into_iter().map(file).collect();
                let number = if kind == RewriteKind::Replace {
                    next - 1
                } else {
                    next
                };
                self.gain(&added, number, spec_id);
                let summary = BTreeMap::new();
                let rewrite = Rewrite {
                    removed,
                    added,
                    kind,
                    summary,
                };
                lake.stage_rewrite(&table, rewrite).await
            }
            Step::Truncate => {
                self.live.clear();
                lake.stage_truncate(&table).await
            }
            Step::Rollback(nth) if !self.ids.is_empty() => {
                let id = self.ids[nth % self.ids.len()];
                if table.metadata().current_snapshot_id() == Some(id) {
                    return;
                }
                self.live.clone_from(&self.history[&id]);
                lake.stage_rollback(&table, id).await
            }
            Step::AddColumn => {
                self.columns += 1;
                let name = format!("more{}", self.columns);
                let data_type = DataType::Int64;
                lake.stage_alter(&table, &[Alter::AddColumn { name, data_type }])
                    .await
            }
            // Files made by hand have no partition values, so none are added meanwhile.
            Step::Repartition => {
                self.by_month = !self.by_month;
                let by = match self.by_month {
                    true => vec![PartitionField::new("ts", Transform::Month)],
                    false => vec![],
                };
                lake.stage_alter(&table, &[Alter::SetPartition(by)]).await
            }
            Step::Append(_) | Step::Rewrite(..) | Step::Rollback(_) => return,
        };
        commit(lake, operation.unwrap()).await;
        let after = head(lake, &key()).await;
        if let Some(id) = after.metadata().current_snapshot_id()
            && self.history.insert(id, self.live.clone()).is_none()
        {
            self.ids.push(id);
        }
    }

    fn gain(&mut self, files: &[DataFile], number: i64, spec_id: i32) {
        for file in files {
            let known = (file.record_count(), number, spec_id);
            self.live.insert(file.file_path().to_owned(), known);
        }
    }

    /// What another process finds is what the model holds.
    async fn check(&self, lake: &Lake) {
        let fresh = reopened(lake).await;
        let table = head(&fresh, &key()).await;
        let files = table.data_files().await.unwrap();
        let found = files.iter().map(|file| {
            let known = (
                file.file.record_count(),
                file.sequence_number,
                file.partition_spec_id,
            );
            (file.file.file_path().to_owned(), known)
        });
        assert_eq!(found.collect::<Files>(), self.live);
        assert_eq!(table.arrow_schema().fields().len(), 4 + self.columns);
        let Some(snapshot) = table.metadata().current_snapshot() else {
            return;
        };
        let totals = &snapshot.summary().additional_properties;
        let rows: u64 = self.live.values().map(|known| known.0).sum();
        assert_eq!(totals["total-records"], rows.to_string());
        assert_eq!(totals["total-files-size"], (rows * 10).to_string());
        assert_eq!(totals["total-data-files"], self.live.len().to_string());
        numbers_rise(table.metadata());
    }
}

fn numbers_rise(metadata: &TableMetadata) {
    let numbers = metadata
        .snapshots()
        .map(|snapshot| snapshot.sequence_number());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    let distinct = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(distinct, "{numbers:?}");
    assert_eq!(numbers.last(), Some(&metadata.last_sequence_number()));
}

async fn unpartitioned(lake: &Lake) -> Table {
    let spec = TableSpec {
        schema: schema(),
        ..TableSpec::default()
    };
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn tables_hold_what_was_staged_into_them(steps in steps()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let lake = lake().await;
            unpartitioned(&lake).await;
            let mut model = Model::default();
            for step in steps {
                model.step(&lake, step).await;
                model.check(&lake).await;
            }
        });
    }
}

async fn objects(lake: &Lake) -> usize {
    let objects = lake.store().object_store().list(None);
    let objects: Vec<_> = objects.try_collect().await.unwrap();
    objects
        .iter()
        .filter(|object| !object.location.as_ref().starts_with("_catalog"))
        .count()
}

#[tokio::test]
async fn rewriting_one_of_ten_thousand_files_writes_four_small_ones() {
    let lake = lake().await;
    let table = unpartitioned(&lake).await;
    let files = (0..10_000).map(|_| file(1)).collect();
    let staged = lake.stage_append(&table, files, BTreeMap::new()).await;
    commit(&lake, staged.unwrap()).await;
    let table = head(&lake, &key()).await;
    let before = objects(&lake).await;
    let rewrite = Rewrite {
        removed: table.data_files().await.unwrap()[5_000..5_001].to_vec(),
        added: vec![file(1)],
        kind: RewriteKind::Overwrite,
        summary: BTreeMap::new(),
    };
    let staged = lake.stage_rewrite(&table, rewrite).await.unwrap();
    assert_eq!(
        objects(&lake).await - before,
        4,
        "two manifests, the list, the metadata"
    );
    commit(&lake, staged).await;
    let list = head(&lake, &key()).await;
    let list = list
        .metadata()
        .current_snapshot()
        .unwrap()
        .manifest_list()
        .to_owned();
    let path = lake.store().path(&list).unwrap();
    let size = lake.store().object_store().head(&path).await.unwrap().size;
    assert!(size < 10_000, "a list names manifests, not files");
    assert_eq!(
        head(&lake, &key()).await.data_files().await.unwrap().len(),
        10_000
    );
}
