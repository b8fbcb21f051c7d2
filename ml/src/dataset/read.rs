//! Running a data set's SQL so that the same commit always gives the same rows.
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use catalog::{CommitId, Error, Result};
use futures::TryStreamExt;
use lake::Lake;
use query::{Engine, EngineConfig, QueryOptions};

/// All rows of `sql` at `commit`. `InvalidInput` when there are none, or when
/// the SQL reads another commit as well.
pub(super) async fn rows(
    lake: &Lake,
    engine: &Engine,
    sql: &str,
    commit: CommitId,
) -> Result<RecordBatch> {
    let engine = repeatable(lake, engine);
    let options = QueryOptions {
        default_ref: Some(commit.to_string()),
        ..QueryOptions::default()
    };
    let result = engine.query(sql, &options).await?;
    if let Some((reference, _)) = result.commits.iter().find(|(_, read)| **read != commit) {
        return Err(Error::invalid(format!(
            "the data set's SQL reads the ref '{reference}', which is not the commit it is pinned to"
        ))
        .with_hint("write table names as namespace.table, and name the ref in dataset.ref"));
    }
    let batches: Vec<RecordBatch> = result
        .stream
        .try_collect()
        .await
        .map_err(query::stream_error)?;
    let rows = concat_batches(&result.schema, &batches).map_err(|e| {
        Error::internal("the data set's batches do not fit together").with_source(e)
    })?;
    if rows.num_rows() == 0 {
        return Err(Error::invalid(format!(
            "the data set has no rows: its SQL found none at commit {commit}"
        ))
        .with_hint("run the SQL with `pumphouse sql` on the same ref"));
    }
    Ok(rows)
}

/// The engine without rows that are not committed, and on one partition:
/// parallel sums of floats add up in another order at each run.
fn repeatable(lake: &Lake, engine: &Engine) -> Engine {
    let config = EngineConfig {
        target_partitions: 1,
        ..engine.config().clone()
    };
    Engine::new(lake.clone(), None, config)
}
