//! A small lake with pumps in it.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use catalog::{Catalog, CommitMeta, Key, Store, StoreConfig};
use lake::{Lake, TableSpec};
use ml::{TrainOutcome, TrainSpec};
use query::{Engine, EngineConfig, LakeFunction};
use tempfile::TempDir;

/// The table the simulator fills.
const TELEMETRY: &str = "pumps.telemetry";
const PUMPS: usize = 4;
const START_MICROS: i64 = 1_790_000_000_000_000;
const FAULTS: [&str; 4] = ["none", "cavitation", "bearing_wear", "leakage"];

/// A lake whose folder goes with it.
pub(crate) struct Fixture {
    pub(crate) lake: Lake,
    pub(crate) engine: Engine,
    _folder: TempDir,
}

impl Fixture {
    /// A lake with 600 readings, ten seconds apart, of each of four pumps.
    pub(crate) async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            url: folder.path().to_str().unwrap().to_owned(),
            ..StoreConfig::default()
        };
        let store = Store::open(&config).await.unwrap();
        let lake = Lake::new(Catalog::open(store).await.unwrap());
        let predict = ml::PredictFunction::new(lake.clone());
        let functions: Vec<Arc<dyn LakeFunction>> = vec![Arc::new(predict)];
        let engine = Engine::with_functions(lake.clone(), None, EngineConfig::default(), functions);
        let fixture = Fixture {
            lake,
            engine,
            _folder: folder,
        };
        fixture.create(TELEMETRY, telemetry(0, 600)).await;
        fixture
    }

    /// A table with the columns of `rows`, and these in it.
    pub(crate) async fn create(&self, key: &str, rows: RecordBatch) {
        let key: Key = key.parse().unwrap();
        let spec = TableSpec {
            schema: rows.schema(),
            sort: Vec::new(),
            bloom: Vec::new(),
            ..TableSpec::default()
        };
        let meta = || CommitMeta::new("test", "fill a table");
        let created = self.lake.create_table("main", &key, &spec, meta());
        created.await.unwrap();
        let appended = self.lake.append_batches("main", &key, vec![rows], meta());
        appended.await.unwrap();
    }

    pub(crate) async fn append(&self, branch: &str, rows: RecordBatch) {
        let meta = CommitMeta::new("test", "append");
        let rows = vec![rows];
        self.lake
            .append_batches(branch, &TELEMETRY.parse().unwrap(), rows, meta)
            .await
            .unwrap();
    }

    pub(crate) async fn branch(&self, name: &str) {
        self.lake
            .catalog()
            .create_branch(name, "main", "test")
            .await
            .unwrap();
    }

    pub(crate) async fn train(&self, spec: &str, branch: &str) -> catalog::Result<TrainOutcome> {
        let spec = TrainSpec::from_toml(spec)?;
        ml::train(&self.lake, &self.engine, &spec, branch, "ann", &mut |_| ()).await
    }

    pub(crate) async fn models(&self, reference: &str) -> Vec<String> {
        let models = ml::models(&self.lake, reference).await.unwrap();
        models.iter().map(|m| m.key.to_string()).collect()
    }

    /// The bytes of an object of the lake.
    pub(crate) async fn object(&self, location: &str) -> Vec<u8> {
        use object_store::ObjectStoreExt;
        let store = self.lake.store();
        let path = store.path(location).unwrap();
        let object = store.object_store().get(&path).await.unwrap();
        object.bytes().await.unwrap().to_vec()
    }
}

/// A spec on pumps.telemetry; `label` is SQL, named `y` in the data set.
pub(crate) fn spec(objective: &str, label: &str) -> String {
    format!(
        r#"
        model = "ml.pump"
        trainer = "xgboost"
        [dataset]
        sql = """
            select ts, pump, pressure_bar, flow_m3h, vibration_mm_s, temperature_c, running,
                   {label} as y
            from pumps.telemetry
        """
        time = "ts"
        label = "y"
        exclude = ["pump"]
        [xgboost]
        objective = "{objective}"
        rounds = 8
        max_depth = 4
        subsample = 0.9
        seed = 7
        "#
    )
}

/// Readings `from..to` of every pump. Each fault shows in its own columns, and
/// faults take turns, so that both parts of a split hold them all.
pub(crate) fn telemetry(from: usize, to: usize) -> RecordBatch {
    let mut noise = Noise(from as u32 + 1);
    let mut ts = Vec::new();
    let (mut site, mut pump, mut fault) = (Vec::new(), Vec::new(), Vec::new());
    let mut running = Vec::new();
    let mut readings: [Vec<Option<f64>>; 5] = Default::default();
    for step in from..to {
        for number in 0..PUMPS {
            let state = FAULTS[(step / 20 + number) % FAULTS.len()];
            let bad = |name: &str| f64::from(u8::from(state == name));
            ts.push(START_MICROS + step as i64 * 10_000_000);
            site.push("north");
            pump.push(format!("p{number}"));
            running.push(true);
            fault.push(state);
            let pressure = 6.0 - 2.0 * bad("cavitation") + 0.3 * noise.next();
            let flow = 40.0 - 10.0 * bad("leakage") + noise.next();
            let vibration = 2.0 + 3.0 * bad("bearing_wear") + 0.5 * noise.next();
            let temperature = 50.0 + 4.0 * vibration + noise.next();
            // Sensors fail at times.
            readings[0].push((step % 50 != 0).then_some(pressure));
            readings[1].push(Some(flow));
            readings[2].push(Some(vibration));
            readings[3].push(Some(temperature));
            readings[4].push(Some(flow / 2.0 + noise.next()));
        }
    }
    let [pressure, flow, vibration, temperature, current] =
        readings.map(|values| Arc::new(Float64Array::from(values)) as ArrayRef);
    let ts = TimestampMicrosecondArray::from(ts).with_timezone("+00:00");
    RecordBatch::try_from_iter_with_nullable([
        ("ts", Arc::new(ts) as ArrayRef, true),
        ("site", Arc::new(StringArray::from(site)), true),
        ("pump", Arc::new(StringArray::from(pump)), true),
        ("running", Arc::new(BooleanArray::from(running)), true),
        ("pressure_bar", pressure, true),
        ("flow_m3h", flow, true),
        ("vibration_mm_s", vibration, true),
        ("temperature_c", temperature, true),
        ("current_a", current, true),
        ("fault", Arc::new(StringArray::from(fault)), true),
    ])
    .unwrap()
}

/// Numbers from -1 to 1, the same at every run.
pub(crate) struct Noise(u32);

impl Noise {
    pub(crate) fn new(seed: u32) -> Noise {
        Noise(seed)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }
}
