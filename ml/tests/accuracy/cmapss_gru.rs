//! C-MAPSS FD001 by a recurrent network: how many cycles has an engine left?
//!
//! Protocol: a test engine's remaining life at its last cycle; RMSE against the raw truth (up to
//! 145 cycles, not clipped), labels of training capped at 125. Published: LSTM 14.93, deep LSTM
//! 16.14, MS-DCNN 11.44.
//!
//! The network reads 30 cycles of trailing means: of 14 sensors, and of a health index, which is
//! these sensors, scaled and weighted by their correlation with the life left; and the index's
//! drift since the engine's first 20 cycles, and its age. Means, units and epochs were chosen by five-fold cross-validation
//! over whole training engines; scales and weights of the index are those of the training part.
//! Every fifth training engine is the validation part, which intervals are fitted on; it does
//! not stop the training.
use ml::Metrics;

use crate::cmapss::{SENSORS, plant};

#[tokio::test]
async fn a_network_foresees_the_remaining_life() {
    let Some(plant) = plant().await else { return };
    let outcome = plant.train(&spec()).await;
    let Metrics::Regression(metrics) = &outcome.manifest.metrics else {
        panic!("{:?}", outcome.manifest.metrics);
    };
    assert_eq!(outcome.manifest.lineage.rows.test, 100);
    eprintln!("C-MAPSS FD001 GRU: RMSE {:.2}", metrics.rmse);
    assert!(metrics.rmse <= 13.0, "RMSE {:.3}", metrics.rmse);
}

fn spec() -> String {
    format!(
        r#"
        model = "ml.life_by_gru"
        trainer = "gru"
        coverage = 0.9
        [dataset]
        sql = """{}"""
        time = "cycle"
        label = "rul"
        group = ["source", "engine"]
        split = "column"
        split_column = "part"
        normalise = {{ method = "standard" }}
        window = {{ length = 30, stride = 4 }}
        [gru]
        task = "regression"
        hidden = 24
        members = 5
        [gru.schedule]
        epochs = 10
        batch = 48
        learning_rate = 0.005
        final_rate = 0.02
        patience = 0
        "#,
        features()
    )
}

/// Rows with the features of each cycle, from what was known by then.
fn features() -> String {
    let of_each = |each: &dyn Fn(&str) -> String, between: &str| -> String {
        let parts = SENSORS.iter().map(|s| each(&format!("s{s}")));
        parts.collect::<Vec<_>>().join(between)
    };
    let scales = of_each(
        &|s| {
            format!("avg({s}) as {s}_mean, stddev({s}) as {s}_scale, corr({s}, life) as {s}_trend")
        },
        ", ",
    );
    let index = of_each(
        &|s| format!("{s}_trend * ({s} - {s}_mean) / {s}_scale"),
        " + ",
    );
    let weights = of_each(&|s| format!("abs({s}_trend)"), " + ");
    let means = [5, 10, 20, 30, 60].map(|n| {
        let before = n - 1;
        format!(
            "avg(health) over (partition by source, engine order by cycle \
             rows between {before} preceding and current row) as health_{n}"
        )
    });
    format!(
        "
        with cycles as (
            select *, least(rul, 125.0) as life, case
                when source = 'test' then (
                    case when cycle = max(cycle) over (partition by source, engine) then 'test' end
                )
                when engine % 5 = 0 then 'validation'
                else 'train'
            end as part
            from cmapss.cycles
        ),
        scales as (select {scales} from cycles where part = 'train'),
        indexed as (
            select cycles.*, ({index}) / ({weights}) as health from cycles cross join scales
        )
        select
            part, source, engine, cycle, cast(cycle as double) as age,
            case when source = 'test' then rul else life end as rul,
            {},
            {},
            avg(health) over short - avg(case when cycle <= 20 then health end) over life
                as health_drift
        from indexed
        window
            short as (partition by source, engine order by cycle rows between 9 preceding and current row),
            life as (partition by source, engine order by cycle rows between unbounded preceding and current row)
        ",
        means.join(",\n            "),
        of_each(&|s| format!("avg({s}) over short as {s}"), ", "),
    )
}
