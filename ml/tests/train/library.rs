//! What happens without the XGBoost library.
use std::env;
use std::process::Command;

use catalog::ErrorKind;

use crate::fixture::{Fixture, spec};

const CHILD: &str = "PUMPHOUSE_TEST_WITHOUT_XGBOOST";

/// The library is loaded once per process, so one of its own goes without.
#[tokio::test]
async fn a_missing_library_is_an_error_that_says_what_gets_it() {
    if env::var_os(CHILD).is_none() {
        let name = "library::a_missing_library_is_an_error_that_says_what_gets_it";
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
        return;
    }
    ml::xgboost::set_library("/nowhere/libxgboost.so");
    let fixture = Fixture::new().await;
    let spec = spec("multi:softprob", "fault");
    let error = fixture.train(&spec, "main").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.message().contains("/nowhere/libxgboost.so"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("make xgboost"), "{error}");
}
