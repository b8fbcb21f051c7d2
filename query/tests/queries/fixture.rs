//! A small lake with a known history, and a hot buffer beside it.
use std::sync::{Arc, Mutex};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::{Catalog, CommitId, CommitMeta, Key, Snapshot, Store};
use lake::hot::{HotBuffer, HotCut, HotRows};
use lake::{Append, Lake, PartitionField, TableSpec};
use query::{Engine, EngineConfig};

/// 2026-11-01T00:00:00Z in microseconds.
pub(crate) const START: i64 = 1_793_491_200_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const INGESTER: &str = "test";

pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

pub(crate) fn telemetry_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pump", DataType::Utf8, true),
        Field::new("ts", timestamp(), true),
        Field::new("flow", DataType::Float64, true),
        Field::new("starts", DataType::Int64, true),
    ]))
}

/// Six rows of `day`: pumps a, b and c at 00:00 and 12:00. Flow is null for pump c.
pub(crate) fn day_of_telemetry(day: i64) -> RecordBatch {
    let (mut pumps, mut times, mut flows, mut starts) = (vec![], vec![], vec![], vec![]);
    for (half, at) in [(0, 0), (1, 12 * HOUR)] {
        for (number, pump) in ["a", "b", "c"].into_iter().enumerate() {
            let number = number as i64;
            pumps.push(pump);
            times.push(START + day * DAY + at);
            flows.push((pump != "c").then_some((day * 10 + number) as f64 + 0.5 * half as f64));
            starts.push(day * 100 + number * 10 + half);
        }
    }
    RecordBatch::try_new(
        telemetry_schema(),
        vec![
            Arc::new(StringArray::from(pumps)),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00")),
            Arc::new(Float64Array::from(flows)),
            Arc::new(Int64Array::from(starts)),
        ],
    )
    .unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    name.parse().unwrap()
}

pub(crate) fn meta(message: &str) -> CommitMeta {
    CommitMeta::new("test", message)
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        memory_limit_bytes: 256 << 20,
        target_partitions: 2,
        batch_size: 1024,
        default_branch: "main".to_owned(),
        default_namespace: "pumps".to_owned(),
        author: "test".to_owned(),
    }
}

pub(crate) async fn empty_lake() -> Lake {
    Lake::new(Catalog::open(Store::memory()).await.unwrap())
}

/// `pumps.telemetry` with three days in three commits and a column added by a fourth;
/// branch `dev` from the second commit with a table of its own.
pub(crate) struct Fixture {
    pub(crate) lake: Lake,
    /// The commit of each day.
    pub(crate) commits: Vec<CommitId>,
}

impl Fixture {
    pub(crate) async fn new() -> Fixture {
        Fixture::on(empty_lake().await).await
    }

    pub(crate) async fn on(lake: Lake) -> Fixture {
        let telemetry = key("pumps.telemetry");
        let spec = TableSpec {
            schema: telemetry_schema(),
            partition: vec![PartitionField::day("ts")],
            sort: vec!["pump".to_owned(), "ts".to_owned()],
            bloom: vec!["pump".to_owned()],
            ..TableSpec::default()
        };
        lake.create_table("main", &telemetry, &spec, meta("create"))
            .await
            .unwrap();
        let mut commits = Vec::new();
        for day in 0..3 {
            let rows = vec![day_of_telemetry(day)];
            let snapshot = lake
                .append_batches("main", &telemetry, rows, meta("day"))
                .await
                .unwrap();
            commits.push(snapshot.id());
            if day == 1 {
                dev_branch(&lake, &spec).await;
            }
        }
        evolve(&lake, &telemetry).await;
        Fixture { lake, commits }
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::new(self.lake.clone(), None, config())
    }

    /// With two rows in the hot buffer, of the schema before the last column was added.
    pub(crate) fn engine_with_hot_rows(&self) -> Engine {
        let buffer = VecBuffer::of(&self.lake);
        buffer.push(&key("pumps.telemetry"), day_of_telemetry(9).slice(0, 2));
        Engine::new(self.lake.clone(), Some(Arc::new(buffer)), config())
    }
}

async fn dev_branch(lake: &Lake, spec: &TableSpec) {
    lake.catalog()
        .create_branch("dev", "main", "test")
        .await
        .unwrap();
    let trial = key("pumps.trial");
    lake.create_table("dev", &trial, spec, meta("create"))
        .await
        .unwrap();
    lake.append_batches("dev", &trial, vec![day_of_telemetry(7)], meta("trial"))
        .await
        .unwrap();
}

async fn evolve(lake: &Lake, telemetry: &Key) {
    let with_note = |rows: RecordBatch, note: &str| {
        let mut fields: Vec<Field> = rows
            .schema()
            .fields()
            .iter()
            .map(|f| f.as_ref().clone())
            .collect();
        fields.push(Field::new("note", DataType::Utf8, true));
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(StringArray::from(vec![note; rows.num_rows()])));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let rows = with_note(day_of_telemetry(3), "fourth day");
    lake.evolve("main", telemetry, &rows.schema(), meta("add note"))
        .await
        .unwrap();
    lake.append_batches("main", telemetry, vec![rows], meta("day"))
        .await
        .unwrap();
}

/// A hot buffer that obeys the trait: batches with end positions, committed under a watermark.
#[derive(Default)]
pub(crate) struct VecBuffer {
    state: Mutex<State>,
    /// Where `flush` commits to.
    lake: Option<Lake>,
}

#[derive(Default)]
struct State {
    /// Position after the last row pushed.
    end: u64,
    batches: Vec<(u64, Key, RecordBatch)>,
    /// Rows up to here are no longer held.
    dropped: u64,
}

impl VecBuffer {
    /// A buffer that can be flushed.
    pub(crate) fn of(lake: &Lake) -> Self {
        VecBuffer {
            lake: Some(lake.clone()),
            ..VecBuffer::default()
        }
    }

    pub(crate) fn push(&self, key: &Key, batch: RecordBatch) {
        let mut state = self.state.lock().unwrap();
        state.end += batch.num_rows() as u64;
        let end = state.end;
        state.batches.push((end, key.clone(), batch));
    }

    /// Commits all rows of `key` under the watermark; they stay in the buffer.
    pub(crate) async fn commit(&self, lake: &Lake, key: &Key) -> Snapshot {
        let (end, batches) = {
            let state = self.state.lock().unwrap();
            let held = state.batches.iter();
            (
                state.end,
                held.map(|(end, _, batch)| (*end, batch.clone()))
                    .collect::<Vec<_>>(),
            )
        };
        let head = lake.catalog().head("main").await.unwrap();
        let done = head.watermark(INGESTER);
        let fresh = batches
            .into_iter()
            .filter(|(end, _)| *end > done.unwrap_or(0));
        let table = lake.table(&head, key).await.unwrap();
        let files = lake
            .write(&table, fresh.map(|(_, batch)| batch).collect())
            .await
            .unwrap();
        let change = lake
            .append(vec![Append::to(&table, files)])
            .with_watermark(INGESTER, done, end);
        lake.catalog()
            .commit("main", meta("flush"), Arc::new(change))
            .await
            .unwrap()
    }

    /// Lets go of the rows up to `position`.
    pub(crate) fn drop_until(&self, position: u64) {
        let mut state = self.state.lock().unwrap();
        state.batches.retain(|(end, _, _)| *end > position);
        state.dropped = position;
    }
}

#[async_trait::async_trait]
impl HotBuffer for VecBuffer {
    fn branch(&self) -> &str {
        "main"
    }

    fn rows_after(&self, key: &Key, snapshot: &Snapshot) -> HotCut {
        let watermark = snapshot.watermark(INGESTER).unwrap_or(0);
        let state = self.state.lock().unwrap();
        if state.dropped > watermark {
            return HotCut::Gone;
        }
        let fresh = state.batches.iter();
        let fresh = fresh.filter(|(end, of, _)| *end > watermark && of == key);
        let batches: Vec<RecordBatch> = fresh.map(|(_, _, batch)| batch.clone()).collect();
        match batches.is_empty() {
            true => HotCut::Empty,
            false => HotCut::Rows(HotRows { batches }),
        }
    }

    async fn flush(&self) -> catalog::Result<()> {
        let keys: Vec<Key> = {
            let state = self.state.lock().unwrap();
            state
                .batches
                .iter()
                .map(|(_, key, _)| key.clone())
                .collect()
        };
        // One table is enough here: the watermark counts the rows of all.
        if let (Some(lake), Some(key)) = (&self.lake, keys.first()) {
            let committed = lake.catalog().head("main").await?.watermark(INGESTER);
            let end = self.state.lock().unwrap().end;
            if end > committed.unwrap_or(0) {
                self.commit(lake, key).await;
            }
        }
        Ok(())
    }
}

/// All values of the first column of `sql`'s result as text, in order.
pub(crate) async fn column(engine: &Engine, sql: &str) -> Vec<String> {
    let (_, batches) = engine
        .collect(sql, None)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut values = Vec::new();
    for batch in batches {
        let texts = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
        let texts = texts.as_any().downcast_ref::<StringArray>().unwrap();
        values.extend(texts.iter().map(|text| text.unwrap_or("null").to_owned()));
    }
    values
}
