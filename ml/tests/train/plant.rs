//! A plant whose bearings wear in one way for a month, and in another afterwards.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use catalog::{CommitMeta, Key};
use ml::TrainSpec;
use ml::monitor::Watch;
use ml::retrain::{Accept, Plan, Trigger};

use crate::fixture::{Fixture, Noise};

pub(crate) const TABLE: &str = "plant.readings";
pub(crate) const MODEL: &str = "ml.wear";
const START_MICROS: i64 = 1_790_000_000_000_000;
const PUMPS: usize = 4;
/// Hours in which wear shows as vibration.
pub(crate) const MONTH: usize = 30 * 24;

/// Hourly readings of every pump. In the first month a worn bearing shakes; afterwards it runs
/// hot and shakes no more than others, while all of them run warmer than before.
pub(crate) fn readings(from: usize, to: usize) -> RecordBatch {
    let mut noise = Noise::new(from as u32 + 1);
    let (mut ts, mut pump, mut worn) = (Vec::new(), Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 3] = Default::default();
    for hour in from..to {
        for number in 0..PUMPS {
            let bad = (hour / 12 + number).is_multiple_of(3);
            let later = hour >= MONTH;
            let shakes = f64::from(u8::from(bad && !later));
            let hot = f64::from(u8::from(bad && later));
            ts.push(START_MICROS + hour as i64 * 3_600_000_000);
            pump.push(format!("p{number}"));
            worn.push(bad);
            columns[0].push(2.0 + 2.5 * shakes + noise.next());
            columns[1]
                .push(50.0 + 8.0 * f64::from(u8::from(later)) + 6.0 * hot + 2.0 * noise.next());
            columns[2].push(40.0 + 4.0 * noise.next());
        }
    }
    let [vibration, temperature, flow] =
        columns.map(|it| Arc::new(Float64Array::from(it)) as ArrayRef);
    let ts = TimestampMicrosecondArray::from(ts).with_timezone("UTC");
    RecordBatch::try_from_iter_with_nullable([
        ("ts", Arc::new(ts) as ArrayRef, true),
        ("pump", Arc::new(StringArray::from(pump)), true),
        ("vibration", vibration, true),
        ("temperature", temperature, true),
        ("flow", flow, true),
        ("worn", Arc::new(BooleanArray::from(worn)), true),
    ])
    .unwrap()
}

pub(crate) fn spec() -> String {
    format!(
        r#"
        model = "{MODEL}"
        trainer = "xgboost"
        [dataset]
        sql = "select ts, pump, vibration, temperature, flow, worn from {TABLE}"
        time = "ts"
        label = "worn"
        group = ["pump"]
        test_fraction = 0.15
        validation_fraction = 0.1
        [xgboost]
        objective = "binary:logistic"
        rounds = 15
        max_depth = 3
        seed = 7
        "#
    )
}

/// The first month, and a champion on `main` that has learned from it.
pub(crate) async fn plant() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.create(TABLE, readings(0, MONTH)).await;
    fixture.train(&spec(), "main").await.unwrap();
    fixture
}

/// Twenty days more.
pub(crate) async fn go_on(fixture: &Fixture) {
    let rows = vec![readings(MONTH, MONTH + 20 * 24)];
    let meta = CommitMeta::new("test", "go on");
    let key: Key = TABLE.parse().unwrap();
    fixture
        .lake
        .append_batches("main", &key, rows, meta)
        .await
        .unwrap();
}

pub(crate) fn model() -> Key {
    MODEL.parse().unwrap()
}

pub(crate) fn watch() -> Watch {
    Watch {
        window: Duration::from_secs(7 * 86_400),
        min_rows: 200,
        max_rows: 100_000,
        psi: 0.2,
        drift: 0.15,
        mape: 0.2,
        accuracy_loss: 0.1,
        latency: Duration::from_secs(2),
        errors: 0.05,
    }
}

pub(crate) fn plan(spec: &str) -> Plan {
    Plan {
        spec: TrainSpec::from_toml(spec).unwrap(),
        on: vec![Trigger::Drift],
        every: Duration::from_secs(86_400),
        min_labels: 100,
        cool_down: Duration::from_secs(86_400),
        metric: None,
        samples: 300,
        accept: Accept::Better,
        keep: Duration::from_secs(86_400),
        timeout: Duration::from_secs(86_400),
    }
}
