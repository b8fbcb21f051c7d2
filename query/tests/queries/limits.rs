//! A query over the memory limit fails with a clear error, and the engine lives.
use catalog::ErrorKind;
use query::{Engine, EngineConfig};

use crate::fixture::{column, config, empty_lake};

fn small(memory_limit_bytes: usize) -> EngineConfig {
    EngineConfig {
        memory_limit_bytes,
        ..config()
    }
}

#[tokio::test]
async fn a_query_over_the_limit_is_refused_and_the_next_one_runs() {
    let engine = Engine::new(empty_lake().await, None, small(4 << 20));
    let hungry = "select array_agg(a.value * 7 + b.value) from generate_series(1, 2000) a, generate_series(1, 2000) b";
    let error = engine.collect(hungry, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("memory limit")),
        "{error}"
    );
    assert_eq!(column(&engine, "select 1").await, ["1"]);
}

#[tokio::test]
async fn a_sort_over_the_limit_spills_to_disk() {
    let engine = Engine::new(empty_lake().await, None, small(48 << 20));
    // 2 million rows of 8 + 16 bytes and more.
    let sql = "select count(*) from (select value, row_number() over (order by value % 1000 desc, value) r
        from generate_series(1, 2000000)) where r > 0";
    assert_eq!(column(&engine, sql).await, ["2000000"]);
}
