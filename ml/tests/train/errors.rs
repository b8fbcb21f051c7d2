//! What users get wrong, and that the error says so.
use catalog::ErrorKind;

use crate::fixture::{Fixture, spec};

async fn error(fixture: &Fixture, from: &str, to: &str) -> catalog::Error {
    let spec = spec("multi:softprob", "fault");
    assert!(spec.contains(from), "{from} is not in the spec");
    fixture
        .train(&spec.replace(from, to), "main")
        .await
        .unwrap_err()
}

#[tokio::test]
async fn mistakes_in_a_data_set_are_named() {
    let fixture = Fixture::new().await;
    let head = fixture.lake.catalog().head("main").await.unwrap().id();
    for (from, to, says) in [
        ("time = \"ts\"", "time = \"at\"", "dataset.time names 'at'"),
        ("label = \"y\"", "label = \"z\"", "dataset.label names 'z'"),
        ("exclude = [\"pump\"]", "", "'pump' is Utf8"),
        ("fault as y", "'none' as y", "only one class, 'none'"),
        (
            "fault as y",
            "null as y",
            "no row of the data set has a label",
        ),
        (
            "from pumps.telemetry",
            "from pumps.telemetry where false",
            "no rows",
        ),
        ("select ts,", "select '2026' as ts,", "same 'ts'"),
        (
            "pressure_bar,",
            "1 / 0.0 as pressure_bar,",
            "'pressure_bar' holds inf",
        ),
        ("seed = 7", "seed = 7\nmax_deph = 2", "max_deph"),
    ] {
        let error = error(&fixture, from, to).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}: {error}");
        assert!(error.message().contains(says), "{to}: {error}");
    }
    // Nothing was committed.
    assert_eq!(
        fixture.lake.catalog().head("main").await.unwrap().id(),
        head
    );
}

#[tokio::test]
async fn a_data_set_reads_one_commit() {
    let fixture = Fixture::new().await;
    fixture.branch("exp").await;
    let spec = spec("multi:softprob", "fault").replace("from pumps", "from main.pumps");
    // At first both are the same commit.
    fixture.train(&spec, "exp").await.unwrap();
    let error = fixture.train(&spec, "exp").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("'main'"), "{error}");
}

#[tokio::test]
async fn unknown_names_are_not_found() {
    let fixture = Fixture::new().await;
    let spec = spec("multi:softprob", "fault");
    let error = fixture.train(&spec, "nowhere").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nowhere"), "{error}");
    let referring = spec.replace("time = \"ts\"", "time = \"ts\"\nref = \"elsewhere\"");
    let error = fixture.train(&referring, "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let misspelt = spec.replace("from pumps.telemetry", "from pumps.telemetri");
    let error = fixture.train(&misspelt, "main").await.unwrap_err();
    assert!(error.is_user_error(), "{error}");
    assert!(error.message().contains("telemetri"), "{error}");
}

#[tokio::test]
async fn a_table_is_not_overwritten_by_a_model() {
    let fixture = Fixture::new().await;
    let spec = spec("multi:softprob", "fault").replace("ml.pump", "pumps.telemetry");
    let error = fixture.train(&spec, "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}
