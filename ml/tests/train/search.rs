//! Hyper-parameter search from a spec to rows of trials and a model.
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use ml::{Search, SearchOutcome};

use crate::fixture::{Fixture, spec};

fn searched(parameters: &str) -> String {
    let spec = spec("multi:softprob", "fault").replace("max_depth = 4", "");
    format!("{spec}\n[search]\ntrials = 7\nseed = 3\n[search.parameters]\n{parameters}")
}

async fn search(fixture: &Fixture, text: &str) -> catalog::Result<SearchOutcome> {
    let search = Search::from_toml(text)?;
    let (lake, engine) = (&fixture.lake, &fixture.engine);
    ml::search(lake, engine, &search, "main", "test", &mut |_| ()).await
}

const RANGES: &str = "eta = { log_uniform = [0.001, 0.5] }\nmax_depth = { int = [1, 5] }";

#[tokio::test]
async fn the_best_trial_becomes_the_model_and_each_is_a_row() {
    let fixture = Fixture::new().await;
    let found = search(&fixture, &searched(RANGES)).await.unwrap();
    assert_eq!(found.trials.len(), 7);
    let best = found
        .trials
        .iter()
        .find(|t| t.number == found.chosen)
        .unwrap();
    assert_eq!(best.metric, "mlogloss");
    let finished = found.trials.iter().filter(|t| t.ruled_out.is_none());
    assert!(finished.clone().count() >= 5, "{:?}", found.trials);
    assert!(finished.clone().all(|t| t.value >= best.value));
    let manifest = &found.trained.manifest;
    for (name, value) in &best.parameters {
        assert_eq!(manifest.parameters[name], value.to_string());
    }

    let sql = "select count(*) as n, count(distinct parameters) as sets, \
               sum(case when chosen then trial else 0 end) as best, count(value) as valued \
               from ml.trials where model = 'ml.pump' and metric = 'mlogloss'";
    let (_, rows) = fixture.engine.collect(sql, None).await.unwrap();
    let number = |name: &str| rows[0][name].as_primitive::<Int64Type>().value(0);
    assert_eq!((number("n"), number("sets"), number("valued")), (7, 7, 7));
    assert_eq!(number("best"), i64::from(found.chosen));
}

#[tokio::test]
async fn the_same_seed_chooses_and_trains_the_same() {
    let (one, other) = (Fixture::new().await, Fixture::new().await);
    let first = search(&one, &searched(RANGES)).await.unwrap();
    let second = search(&other, &searched(RANGES)).await.unwrap();
    assert_eq!(first.trials, second.trials);
    assert_eq!(first.chosen, second.chosen);
    let hash = |found: &SearchOutcome| found.trained.manifest.artifact.sha256.clone();
    assert_eq!(hash(&first), hash(&second));
}

#[tokio::test]
async fn a_search_that_cannot_succeed_says_why_and_leaves_no_model() {
    let fixture = Fixture::new().await;
    let error = search(&fixture, &searched("max_deph = { int = [1, 5] }")).await;
    let error = error.unwrap_err();
    assert!(
        error.message().contains("no trial came to an end"),
        "{error}"
    );
    assert!(error.message().contains("max_deph"), "{error}");
    let blind = searched(RANGES).replace("[dataset]", "[dataset]\nvalidation_fraction = 0.0");
    let error = search(&fixture, &blind).await.unwrap_err();
    assert!(
        error.hint().unwrap().contains("validation_fraction"),
        "{error}"
    );
    let error = search(&fixture, &spec("multi:softprob", "fault"))
        .await
        .unwrap_err();
    assert!(error.message().contains("[search]"), "{error}");
    assert!(fixture.models("main").await.is_empty());
}
