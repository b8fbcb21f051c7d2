//! PyIceberg reads every table that is written here, after every kind of change.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Catalog, Key, Operation, Store, StoreConfig};
use futures::FutureExt;
use lake::maintain::{CompactOptions, ExpireOptions};
use lake::{Alter, Lake, PartitionField, Rewrite, RewriteKind, Table, TableSpec, Transform};
use serde_json::{Value, json};

use crate::nested::{self, payloads};
use crate::support::{NOVEMBER, commit, head, key, meta, row, spec, totals};

/// A lake in a folder, and what PyIceberg shall find in it.
struct Checked {
    lake: Lake,
    checks: Vec<Value>,
}

impl Checked {
    async fn in_folder(folder: &Path) -> Self {
        let config = StoreConfig {
            url: folder.to_str().unwrap().to_owned(),
            s3: catalog::S3Config::default(),
        };
        let store = Store::open(&config).await.unwrap();
        Self {
            lake: Lake::new(Catalog::open(store).await.unwrap()),
            checks: Vec::new(),
        }
    }

    async fn table(&self) -> Table {
        head(&self.lake, &key()).await
    }

    async fn append(&self, ts: i64, n: i64) {
        let (key, rows) = (key(), vec![row(ts, &format!("p{n}"), n)]);
        let appended = self.lake.append_batches("main", &key, rows, meta());
        appended.await.unwrap();
    }

    async fn step(&mut self, step: &str, operation: Operation) {
        commit(&self.lake, operation).await;
        self.check(step, "cycles").await;
    }

    async fn check(&mut self, step: &str, column: &str) {
        let table = self.table().await;
        let (rows, sum) = totals(&self.lake, &table).await;
        let location = table.metadata_location();
        self.checks.push(json!({
            "step": step, "location": location, "rows": rows, "sum": sum, "column": column,
        }));
    }

    async fn rewrite(
        &self,
        removed: std::ops::Range<usize>,
        n: &[i64],
        kind: RewriteKind,
    ) -> Operation {
        let table = self.table().await;
        let files = table.data_files().await.unwrap();
        let rows: Vec<_> = n.iter().map(|n| row(NOVEMBER, "new", *n)).collect();
        let rewrite = Rewrite {
            removed: files[removed].to_vec(),
            added: self.lake.write(&table, rows).await.unwrap(),
            kind,
            summary: BTreeMap::new(),
        };
        self.lake.stage_rewrite(&table, rewrite).await.unwrap()
    }

    /// Every job of maintenance that changes the table.
    async fn maintain(&mut self) {
        let (lake, key) = (self.lake.clone(), key());
        let go_on = || futures::future::ready(true).boxed();
        // Too little memory to sort in, so that files are merged as streams.
        for memory_bytes in [1 << 20, 1_000] {
            self.append(NOVEMBER, 90).await;
            let options = CompactOptions {
                full: true,
                memory_bytes,
                ..CompactOptions::default()
            };
            let done = lake.compact("main", &key, &options, "test", &go_on).await;
            assert!(done.unwrap().commits > 0);
            self.check("compacted", "cycles").await;
        }
        let expire = ExpireOptions {
            older_than: Duration::ZERO,
            keep: 2,
        };
        let done = lake.expire("main", &key, expire, "test").await.unwrap();
        assert!(done.snapshots > 0);
        self.check("expired", "cycles").await;
        let half_a_century = Some(Duration::from_secs(50 * 365 * 86_400));
        let done = lake
            .retain("main", &key, half_a_century, true, "test")
            .await;
        assert_eq!(done.unwrap().rows, 0);
        self.check("retained", "cycles").await;
    }

    async fn alter(&self, alters: &[Alter]) -> Operation {
        let table = self.table().await;
        self.lake.stage_alter(&table, alters).await.unwrap()
    }
}

fn python(checks: &[Value]) {
    let tools = std::env::var_os("PUMPHOUSE_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/pumphouse/tools")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/static_tables.py");
    let mut child = Command::new(tools.join("venv/bin/python"))
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`make setup-test` installs Python's clients");
    let mut input = child.stdin.take().unwrap();
    for check in checks {
        writeln!(input, "{check}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[tokio::test]
async fn pyiceberg_reads_the_table_after_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut checked = Checked::in_folder(folder.path()).await;
    let (key, spec) = (key(), spec());
    let created = checked.lake.create_table("main", &key, &spec, meta());
    created.await.unwrap();
    for n in 1..=20 {
        checked.append(NOVEMBER + n * 40_000_000_000, n).await;
    }
    checked.check("appends", "cycles").await;
    let first = checked
        .table()
        .await
        .metadata()
        .current_snapshot_id()
        .unwrap();

    let staged = checked
        .rewrite(3..5, &[100, 200], RewriteKind::Overwrite)
        .await;
    checked.step("overwrite", staged).await;
    let staged = checked.rewrite(0..2, &[7], RewriteKind::Delete).await;
    checked.step("delete", staged).await;
    let staged = checked.rewrite(0..1, &[3], RewriteKind::Replace).await;
    checked.step("replace", staged).await;
    let table = checked.table().await;
    let staged = checked.lake.stage_rollback(&table, first).await.unwrap();
    checked.step("rollback", staged).await;
    checked.append(NOVEMBER, 50).await;
    checked.check("append after rollback", "cycles").await;

    let by = [
        ("ts", Transform::Month),
        ("pump", Transform::Truncate(1)),
        ("cycles", Transform::Bucket(4)),
    ];
    let by = by.map(|(column, transform)| PartitionField::new(column, transform));
    let site = Alter::AddColumn {
        name: "site".into(),
        data_type: DataType::Utf8,
    };
    let staged = checked
        .alter(&[site, Alter::SetPartition(by.to_vec())])
        .await;
    checked.step("alter", staged).await;
    for n in 60..80 {
        checked.append(NOVEMBER, n).await;
    }
    checked.check("two partitionings", "cycles").await;
    let staged = checked.rewrite(2..9, &[9], RewriteKind::Overwrite).await;
    checked.step("overwrite of both", staged).await;
    checked.maintain().await;
    let rename = Alter::RenameColumn {
        from: "pressure".into(),
        to: "bar".into(),
    };
    let staged = checked
        .alter(&[rename, Alter::DropColumn("site".into())])
        .await;
    checked.step("rename and drop", staged).await;
    let table = checked.table().await;
    let staged = checked.lake.stage_truncate(&table).await.unwrap();
    checked.step("truncate", staged).await;
    python(&checked.checks);
}

#[tokio::test]
async fn pyiceberg_reads_and_filters_widened_partition_columns() {
    let folder = tempfile::tempdir().unwrap();
    let checked = Checked::in_folder(folder.path()).await;
    let lake = &checked.lake;
    let key: Key = key();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
    let spec = TableSpec {
        schema: Arc::clone(&schema),
        partition: vec![PartitionField::new("n", Transform::Identity)],
        ..TableSpec::default()
    };
    lake.create_table("main", &key, &spec, meta())
        .await
        .unwrap();
    let rows = |n| {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![n]));
        vec![RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()]
    };
    for n in 0..8 {
        lake.append_batches("main", &key, rows(n), meta())
            .await
            .unwrap();
    }
    let check = async |step: &str, rows: i64| {
        let table = head(lake, &key).await;
        let sum = rows * (rows - 1) / 2;
        json!({
            "step": step, "location": table.metadata_location(), "column": "n",
            "rows": rows, "sum": sum, "filter": "n >= 5", "filtered": rows - 5,
        })
    };
    let widen = Alter::WidenColumn {
        name: "n".into(),
        to: DataType::Int64,
    };
    let staged = checked.alter(&[widen]).await;
    commit(lake, staged).await;
    let mut checks = vec![check("widened", 8).await];
    for n in 8..24 {
        lake.append_batches("main", &key, rows(n), meta())
            .await
            .unwrap();
    }
    checks.push(check("merged", 24).await);
    python(&checks);
}

/// What PyIceberg shall find where `rows` rows have cycles 1, 2 and so on, and a filter of
/// a nested field leaves `filtered` of them.
fn nested_check(table: &Table, rows: i64, filter: &str, filtered: i64) -> Value {
    json!({
        "step": format!("{rows} nested rows"), "location": table.metadata_location(),
        "column": "cycles", "rows": rows, "sum": rows * (rows + 1) / 2,
        "filter": filter, "filtered": filtered,
    })
}

#[tokio::test]
async fn pyiceberg_reads_and_filters_nested_columns_as_they_grow() {
    let folder = tempfile::tempdir().unwrap();
    let checked = Checked::in_folder(folder.path()).await;
    let (lake, key) = (&checked.lake, key());
    let spec = TableSpec {
        schema: payloads().schema(),
        ..TableSpec::default()
    };
    lake.create_table("main", &key, &spec, meta())
        .await
        .unwrap();
    lake.append_batches("main", &key, vec![payloads()], meta())
        .await
        .unwrap();
    let table = checked.table().await;
    let mut checks = vec![nested_check(&table, 4, "payload.motor.rpm > 1000", 1)];
    let grown = nested::rows(&[json!({"cycles": 5, "payload": {
        "motor": {"oil": {"level": 9}}, "parts": [{"n": 1}]}})]);
    lake.evolve("main", &key, &grown.schema(), meta())
        .await
        .unwrap();
    lake.append_batches("main", &key, vec![grown], meta())
        .await
        .unwrap();
    let table = checked.table().await;
    checks.push(nested_check(&table, 5, "payload.motor.oil.level = 9", 1));
    checks.push(nested_check(&table, 5, "payload.motor.temp < 71", 1));
    python(&checks);
}
