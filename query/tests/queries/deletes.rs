//! Row-level deletes of other engines against a simple model: a list of rows each in its
//! place in a file.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::ErrorKind;
use futures::FutureExt;
use iceberg::spec::{DataContentType, DataFile, DataFileFormat, Literal, Struct};
use lake::maintain::CompactOptions;
use lake::{PartitionField, TableSpec};
use proptest::prelude::*;
use query::{Engine, EngineConfig, Outcome, SessionOptions};

use crate::fixture::{DAY, START, column, config, empty_lake, key, meta, timestamp};
use crate::foreign_writer::ForeignWriter;

/// Column, field id and position of the two key columns.
const K: (&str, i32, usize) = ("k", 3, 2);
const S: (&str, i32, usize) = ("s", 4, 3);

#[derive(Clone, Debug)]
struct Row {
    id: i64,
    day: i64,
    k: Option<i64>,
    s: Option<String>,
    /// File and place in it.
    file: String,
    position: i64,
}

#[derive(Clone, Debug)]
enum Step {
    /// Rows as (day, k, s).
    Append(Vec<(i64, Option<i64>, Option<String>)>),
    /// Rows by a number each that picks one, and whether a file is named per delete file.
    Positions(Vec<usize>, bool),
    /// Keys deleted on one day: by k, by s, or by both.
    Equality(i64, Vec<(Option<i64>, Option<String>)>, u8),
}

fn schema() -> SchemaRef {
    let fields = [("id", DataType::Int64), ("ts", timestamp())];
    let keys = [("k", DataType::Int64), ("s", DataType::Utf8)];
    let fields = fields.into_iter().chain(keys);
    Arc::new(Schema::new(
        fields
            .map(|(name, kind)| Field::new(name, kind, true))
            .collect::<Vec<_>>(),
    ))
}

fn key_k() -> impl Strategy<Value = Option<i64>> {
    proptest::option::weighted(0.8, 0_i64..4)
}

fn key_s() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.8, "[ab]")
}

fn step() -> impl Strategy<Value = Step> {
    let rows = proptest::collection::vec((0_i64..2, key_k(), key_s()), 1..10);
    let keys = proptest::collection::vec((key_k(), key_s()), 1..3);
    prop_oneof![
        2 => rows.prop_map(Step::Append),
        2 => (proptest::collection::vec(0_usize..1000, 1..6), any::<bool>())
            .prop_map(|(rows, named)| Step::Positions(rows, named)),
        2 => (0_i64..2, keys, 0_u8..3).prop_map(|(day, keys, by)| Step::Equality(day, keys, by)),
    ]
}

struct Case {
    writer: ForeignWriter,
    partitioned: bool,
    rows: Vec<Row>,
    next_id: i64,
}

impl Case {
    async fn new(partitioned: bool) -> Case {
        let writer = ForeignWriter {
            lake: empty_lake().await,
            key: key("t.deleted"),
        };
        let spec = TableSpec {
            schema: schema(),
            partition: match partitioned {
                true => vec![PartitionField::day("ts")],
                false => Vec::new(),
            },
            ..TableSpec::default()
        };
        let created = writer
            .lake
            .create_table("main", &writer.key, &spec, meta("create"));
        created.await.unwrap();
        Case {
            writer,
            partitioned,
            rows: Vec::new(),
            next_id: 0,
        }
    }

    fn partition(&self, day: i64) -> Struct {
        match self.partitioned {
            true => Struct::from_iter([Some(Literal::int((START / DAY + day) as i32))]),
            false => Struct::empty(),
        }
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Append(rows) => self.append(rows).await,
            Step::Positions(picks, named) => self.positions(picks, *named).await,
            Step::Equality(day, keys, by) => self.equality(*day, keys, *by).await,
        }
    }

    async fn append(&mut self, rows: &[(i64, Option<i64>, Option<String>)]) {
        let mut files = Vec::new();
        for day in 0..2 {
            let mut own: Vec<Row> = Vec::new();
            for (_, k, s) in rows.iter().filter(|row| row.0 == day) {
                own.push(Row {
                    id: self.next_id,
                    day,
                    k: *k,
                    s: s.clone(),
                    file: String::new(),
                    position: own.len() as i64,
                });
                self.next_id += 1;
            }
            if own.is_empty() {
                continue;
            }
            let table = self.writer.table().await;
            let batch = batch(&own, &table.arrow_schema());
            let partition = self.partition(day);
            let file = self
                .writer
                .file(DataContentType::Data, &batch, partition)
                .await;
            let file = file.build().unwrap();
            own.iter_mut()
                .for_each(|row| row.file = file.file_path().to_owned());
            files.push(file);
            self.rows.extend(own);
        }
        self.writer.append(files).await;
    }

    /// A delete file per day, or per data file where those are `named`.
    async fn positions(&mut self, picks: &[usize], named: bool) {
        let mut gone: Vec<Row> = Vec::new();
        for pick in picks {
            if !self.rows.is_empty() {
                gone.push(self.rows.swap_remove(pick % self.rows.len()));
            }
        }
        gone.sort_by_key(|row| (row.day, row.file.clone(), row.position));
        let mut deletes: Vec<DataFile> = Vec::new();
        for rows in gone.chunk_by(|a, b| a.day == b.day && (!named || a.file == b.file)) {
            let places: Vec<(String, i64)> = rows
                .iter()
                .map(|row| (row.file.clone(), row.position))
                .collect();
            let partition = self.partition(rows[0].day);
            let mut file = self.writer.positions(&places, partition).await;
            if named {
                file.referenced_data_file(Some(rows[0].file.clone()));
            }
            deletes.push(file.build().unwrap());
        }
        if !deletes.is_empty() {
            self.writer.delete(deletes, self.spec_id().await).await;
        }
    }

    async fn equality(&mut self, day: i64, keys: &[(Option<i64>, Option<String>)], by: u8) {
        let columns = match by {
            0 => vec![K],
            1 => vec![S],
            // Out of order, as engines may list them.
            _ => vec![S, K],
        };
        let table = self.writer.table().await;
        let schema = table.arrow_schema();
        let indices: Vec<usize> = columns.iter().map(|column| column.2).collect();
        let schema = Arc::new(schema.project(&indices).unwrap());
        let ks: ArrayRef = Arc::new(keys.iter().map(|key| key.0).collect::<Int64Array>());
        let ss: ArrayRef = Arc::new(
            keys.iter()
                .map(|key| key.1.clone())
                .collect::<StringArray>(),
        );
        let arrays = columns.iter().map(|column| match column.0 {
            "k" => Arc::clone(&ks),
            _ => Arc::clone(&ss),
        });
        let batch = RecordBatch::try_new(schema, arrays.collect()).unwrap();
        let ids: Vec<i32> = columns.iter().map(|column| column.1).collect();
        let partition = self.partition(day);
        let file = self.writer.equality(&batch, &ids, partition).await;
        self.writer
            .delete(vec![file.build().unwrap()], self.spec_id().await)
            .await;
        // All rows in the table are older than this delete.
        let partitioned = self.partitioned;
        self.rows.retain(|row| {
            let equal = |key: &(Option<i64>, Option<String>)| {
                (by == 1 || key.0 == row.k) && (by == 0 || key.1 == row.s)
            };
            (partitioned && row.day != day) || !keys.iter().any(equal)
        });
    }

    async fn spec_id(&self) -> i32 {
        self.writer
            .table()
            .await
            .metadata()
            .default_partition_spec_id()
    }

    /// All small files, so that no delete file is left.
    async fn compact(&self) {
        let options = CompactOptions {
            full: true,
            ..CompactOptions::default()
        };
        let (lake, key) = (&self.writer.lake, &self.writer.key);
        let go_on = || futures::future::ready(true).boxed();
        let done = lake.compact("main", key, &options, "test", &go_on).await;
        assert_eq!(done.unwrap().conflicts, 0);
        let files = self.writer.table().await.data_files().await.unwrap();
        assert!(files.iter().all(|file| file.deletes.is_empty()));
        assert!(files.len() <= 2, "{} files", files.len());
    }

    async fn check(&self) {
        for target_partitions in [1, 3] {
            let config = EngineConfig {
                target_partitions,
                batch_size: 4,
                ..config()
            };
            let engine = Engine::new(self.writer.lake.clone(), None, config);
            self.check_with(&engine).await;
        }
    }

    async fn check_with(&self, engine: &Engine) {
        let ids = |keep: &dyn Fn(&Row) -> bool| {
            let mut ids: Vec<i64> = self
                .rows
                .iter()
                .filter(|row| keep(row))
                .map(|row| row.id)
                .collect();
            ids.sort_unstable();
            ids.iter().map(i64::to_string).collect::<Vec<_>>()
        };
        let queries: [(&str, Vec<String>); 7] = [
            ("true", ids(&|_| true)),
            ("k = 2", ids(&|row| row.k == Some(2))),
            ("k is null", ids(&|row| row.k.is_none())),
            ("s = 'a' and k < 3", {
                ids(&|row| row.s.as_deref() == Some("a") && row.k.is_some_and(|k| k < 3))
            }),
            ("id >= 4 and id < 9", ids(&|row| (4..9).contains(&row.id))),
            ("ts < '2026-11-02'", ids(&|row| row.day == 0)),
            ("id % 2 = 0", ids(&|row| row.id % 2 == 0)),
        ];
        for (condition, expected) in queries {
            let sql = format!("select id from t.deleted where {condition} order by id");
            assert_eq!(column(engine, &sql).await, expected, "{sql}");
            let sql = format!("select count(*) from t.deleted where {condition}");
            let count = expected.len().to_string();
            assert_eq!(column(engine, &sql).await, [count], "{sql}");
            let sql = format!("select id from t.deleted where {condition} limit 2");
            let limited = column(engine, &sql).await;
            assert_eq!(limited.len(), expected.len().min(2), "{sql}");
            assert!(limited.iter().all(|id| expected.contains(id)), "{sql}");
        }
        for (aggregate, value) in [
            ("min(id)", self.rows.iter().map(|row| row.id).min()),
            ("max(id)", self.rows.iter().map(|row| row.id).max()),
            ("count(k)", {
                Some(self.rows.iter().filter(|row| row.k.is_some()).count() as i64)
            }),
        ] {
            let sql = format!("select {aggregate} from t.deleted");
            let value = value.map_or("null".to_owned(), |value| value.to_string());
            assert_eq!(column(engine, &sql).await, [value], "{sql}");
        }
    }
}

fn batch(rows: &[Row], schema: &SchemaRef) -> RecordBatch {
    let times: TimestampMicrosecondArray =
        rows.iter().map(|row| Some(START + row.day * DAY)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()),
        Arc::new(times.with_timezone("+00:00")),
        Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
        Arc::new(
            rows.iter()
                .map(|row| row.s.clone())
                .collect::<StringArray>(),
        ),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// Two dozen, unless `PROPTEST_CASES` says otherwise.
fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 24;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn deletes_of_other_engines_are_honoured(
        partitioned in any::<bool>(),
        first in proptest::collection::vec((0_i64..2, key_k(), key_s()), 4..12),
        steps in proptest::collection::vec(step(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut case = Case::new(partitioned).await;
            case.take(&Step::Append(first)).await;
            for step in &steps {
                case.take(step).await;
            }
            case.check().await;
            // Compaction applies them all, and later ones find the rows in their new files.
            case.compact().await;
            case.check().await;
            case.take(&Step::Equality(0, vec![(Some(1), None)], 0)).await;
            case.check().await;
            case.compact().await;
            case.check().await;
        });
    }
}

/// Regression: with a filter that whole row groups pass, DataFusion's limit pruning reads
/// those groups whole, deleted rows included.
#[tokio::test]
async fn a_limit_brings_no_deleted_row_back() {
    let mut case = Case::new(false).await;
    let rows = (0..9).map(|k| (0, Some(k), Some("a".to_owned())));
    case.take(&Step::Append(rows.collect())).await;
    case.take(&Step::Positions(vec![0, 0, 0, 0, 0], false))
        .await;
    case.check().await;
}

/// Regression: a row group whose only value passes the filter counts as one that passes
/// whole, whatever nulls are beside it, and the limit then stops before the other groups.
#[tokio::test]
async fn a_limit_does_not_take_nulls_for_matches() {
    let mut case = Case::new(false).await;
    let rows = [None, None, Some(2), None, Some(2)];
    let rows = rows.map(|k| (0, k, None));
    case.take(&Step::Append(rows.to_vec())).await;
    case.check().await;
}

#[tokio::test]
async fn deletion_vectors_are_refused_with_a_way_out() {
    let mut case = Case::new(false).await;
    case.take(&Step::Append(vec![(0, Some(1), None)])).await;
    let file = case.rows[0].file.clone();
    let delete = case.writer.positions(&[(file, 0)], Struct::empty()).await;
    let mut delete = delete;
    delete.file_format(DataFileFormat::Puffin);
    case.writer.delete(vec![delete.build().unwrap()], 0).await;
    let engine = Engine::new(case.writer.lake.clone(), None, config());
    let error = engine.collect("select * from t.deleted", None).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("deleted") && text.contains("deletion vectors"),
        "{text}"
    );
}

/// Rows that another engine deleted stay deleted when their file is written anew, and
/// delete files that apply to nothing any more leave the table.
#[tokio::test]
async fn changes_apply_the_deletes_of_others() {
    let mut case = Case::new(false).await;
    let rows = (0..6).map(|k| (0, Some(k % 3), Some("a".to_owned())));
    case.take(&Step::Append(rows.collect())).await;
    case.take(&Step::Positions(vec![4], true)).await;
    case.take(&Step::Equality(0, vec![(Some(2), None)], 0))
        .await;
    let engine = Engine::new(case.writer.lake.clone(), None, config());
    let session = engine.session(SessionOptions::default());
    let sql = "update t.deleted set s = 'b' where k = 0";
    let left = case.rows.iter().filter(|row| row.k == Some(0)).count() as u64;
    match session.execute(sql, &[]).await.unwrap() {
        Outcome::Done { rows_affected, .. } => assert_eq!(rows_affected, Some(left)),
        Outcome::Rows(_) => panic!("{sql} gave rows"),
    }
    for row in case.rows.iter_mut().filter(|row| row.k == Some(0)) {
        row.s = Some("b".to_owned());
    }
    case.check().await;
    let files = case.writer.table().await.data_files().await.unwrap();
    assert!(files.iter().all(|file| file.deletes.is_empty()));
    // A later equality delete finds the rows that were written anew.
    case.take(&Step::Equality(0, vec![(Some(1), None)], 0))
        .await;
    case.check().await;
}
