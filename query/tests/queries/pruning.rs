//! Files that cannot match are not read, and nothing is read that the manifests know.
use catalog::{Catalog, Store, StoreConfig};
use lake::{Lake, PartitionField, TableSpec};
use query::Engine;

use crate::fixture::{
    Fixture, column, config, day_of_telemetry, empty_lake, key, meta, telemetry_schema,
};

#[tokio::test]
async fn a_folder_with_an_odd_name_is_read_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder
        .path()
        .join("räume 100% %20")
        .to_string_lossy()
        .into_owned();
    let config = StoreConfig {
        url,
        ..StoreConfig::default()
    };
    let store = Store::open(&config).await.unwrap();
    let lake = Lake::new(Catalog::open(store).await.unwrap());
    let fixture = Fixture::on(lake).await;
    let engine = fixture.engine();
    let sql = "select count(flow) from pumps.telemetry where ts > '2026-11-02'";
    assert_eq!(column(&engine, sql).await, ["10"]);
}

/// The physical plan of `sql`, with what happened when it ran where `analyze`.
async fn plan(engine: &Engine, sql: &str, analyze: bool) -> String {
    let explain = if analyze {
        "explain analyze"
    } else {
        "explain"
    };
    let (_, batches) = engine
        .collect(&format!("{explain} {sql}"), None)
        .await
        .unwrap();
    arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string()
}

async fn files_planned(engine: &Engine, condition: &str) -> usize {
    let sql = format!("select flow, note from pumps.telemetry where {condition}");
    plan(engine, &sql, false).await.matches(".parquet").count()
}

#[tokio::test]
async fn manifests_keep_files_out_of_the_plan() {
    let fixture = Fixture::new().await;
    let engine = fixture.engine();
    for (condition, files) in [
        ("true", 4),
        ("ts >= '2026-11-03' and ts < '2026-11-04'", 1),
        ("ts < '2026-11-02'", 1),
        ("ts > '2026-11-02T12:00:00Z'", 2),
        ("ts = '2026-11-02T12:00:00Z' or starts = 300", 2),
        ("starts between 105 and 215", 2),
        ("flow > 20", 2),
        ("flow < -1", 0),
        // Arrow orders -0.0 below 0.0, and a bound of 0.0 may stand for either.
        ("flow < 0", 1),
        ("pump > 'c'", 0),
        ("pump = 'b'", 4),
        ("pump like 'd%'", 0),
        ("ts is null", 0),
        ("flow is null", 4),
    ] {
        assert_eq!(
            files_planned(&engine, condition).await,
            files,
            "{condition}"
        );
    }
}

#[tokio::test]
async fn counts_and_bounds_come_from_manifests() {
    let engine = Fixture::new().await.engine();
    for sql in [
        "select count(*) from pumps.telemetry",
        "select min(ts), max(ts), max(starts), count(starts) from pumps.telemetry",
    ] {
        let plan = plan(&engine, sql, false).await;
        assert!(!plan.contains(".parquet"), "{sql}\n{plan}");
    }
    // Bounds of strings may be truncated, so these must be read.
    let plan = plan(&engine, "select max(pump) from pumps.telemetry", false).await;
    assert!(plan.contains(".parquet"), "{plan}");
}

#[tokio::test]
async fn long_strings_keep_their_last_characters() {
    let lake = empty_lake().await;
    let long = |last: char| format!("{}{last}", "x".repeat(100));
    let name = key("pumps.names");
    let schema = telemetry_schema().project(&[0]).unwrap();
    let spec = TableSpec {
        schema: schema.clone().into(),
        sort: vec![],
        bloom: vec![],
        ..TableSpec::default()
    };
    lake.create_table("main", &name, &spec, meta("create"))
        .await
        .unwrap();
    let values = arrow::array::StringArray::from(vec![long('a'), long('z')]);
    let rows = arrow::array::RecordBatch::try_new(schema.into(), vec![std::sync::Arc::new(values)]);
    lake.append_batches("main", &name, vec![rows.unwrap()], meta("rows"))
        .await
        .unwrap();
    let engine = Engine::new(lake, None, config());
    assert_eq!(
        column(&engine, "select max(pump) from pumps.names").await,
        [long('z')]
    );
    let sql = format!(
        "select count(*) from pumps.names where pump = '{}'",
        long('z')
    );
    assert_eq!(column(&engine, &sql).await, ["1"]);
}

/// `pumps.many` with 20 pumps in each of 3 commits of one day, split as asked, and how many
/// files it has.
async fn many_pumps(partition: Vec<PartitionField>) -> (Engine, usize) {
    let lake = empty_lake().await;
    let name = key("pumps.many");
    let spec = TableSpec {
        schema: telemetry_schema(),
        partition,
        sort: vec!["pump".to_owned(), "ts".to_owned()],
        bloom: vec!["pump".to_owned()],
        ..TableSpec::default()
    };
    let created = lake.create_table("main", &name, &spec, meta("create"));
    created.await.unwrap();
    for commit in 0..3 {
        let pumps = (0..200).map(|row| format!("p{:02}", (row * 7 + commit) % 20));
        let pumps = arrow::array::StringArray::from_iter_values(pumps);
        let day = day_of_telemetry(0).slice(0, 1);
        let same = vec![day; 200];
        let rows = arrow::compute::concat_batches(&telemetry_schema(), &same).unwrap();
        let mut columns = rows.columns().to_vec();
        columns[0] = std::sync::Arc::new(pumps);
        let rows = arrow::array::RecordBatch::try_new(telemetry_schema(), columns).unwrap();
        let appended = lake.append_batches("main", &name, vec![rows], meta("rows"));
        appended.await.unwrap();
    }
    let head = lake.catalog().head("main").await.unwrap();
    let table = lake.table(&head, &name).await.unwrap();
    let files = table.data_files().await.unwrap().len();
    (Engine::new(lake, None, config()), files)
}

#[tokio::test]
async fn one_machine_of_a_table_split_by_machine_touches_its_files_only() {
    for (field, files, condition, read, rows) in [
        ("pump", 60, "pump = 'p07'", 3, "30"),
        ("pump", 60, "pump in ('p07', 'p08')", 6, "60"),
        ("day(ts)", 3, "pump = 'p07'", 3, "30"),
        ("day(ts)", 3, "pump = 'p77'", 0, "0"),
    ] {
        let by = vec![field.parse::<PartitionField>().unwrap()];
        let (engine, all) = many_pumps(by).await;
        assert_eq!(all, files, "{field}");
        let sql = format!("select flow from pumps.many where {condition}");
        let planned = plan(&engine, &sql, false).await;
        assert_eq!(planned.matches(".parquet").count(), read, "{planned}");
        let count = format!("select count(*) from pumps.many where {condition}");
        assert_eq!(
            column(&engine, &count).await,
            [rows],
            "{field}: {condition}"
        );
    }
}

/// A value within the bounds of every file, but in none: only bloom filters can tell.
#[tokio::test]
async fn bloom_filters_skip_row_groups() {
    let engine = Fixture::new().await.engine();
    let plan = plan(
        &engine,
        "select flow from pumps.telemetry where pump = 'aa'",
        true,
    )
    .await;
    assert!(
        plan.contains("row_groups_pruned_bloom_filter=4 total → 0 matched"),
        "{plan}"
    );
}

#[tokio::test]
async fn the_filter_runs_inside_the_scan() {
    let engine = Fixture::new().await.engine();
    let plan = plan(
        &engine,
        "select flow from pumps.telemetry where starts > 5 and pump = 'a'",
        false,
    )
    .await;
    assert!(plan.contains("predicate="), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
}

/// Newest rows first with a limit: files older than the rows found need not be opened.
#[tokio::test]
async fn a_limit_on_sorted_rows_prunes_while_it_runs() {
    let lake = empty_lake().await;
    let table = key("pumps.telemetry");
    let spec = TableSpec {
        schema: telemetry_schema(),
        partition: vec![PartitionField::day("ts")],
        sort: vec!["pump".to_owned(), "ts".to_owned()],
        bloom: vec![],
        ..TableSpec::default()
    };
    lake.create_table("main", &table, &spec, meta("create"))
        .await
        .unwrap();
    for day in 0..12 {
        lake.append_batches("main", &table, vec![day_of_telemetry(day)], meta("day"))
            .await
            .unwrap();
    }
    let engine = Engine::new(
        lake,
        None,
        query::EngineConfig {
            target_partitions: 1,
            ..config()
        },
    );
    let sql = "select ts, pump from pumps.telemetry order by ts desc limit 2";
    let plan = plan(&engine, sql, true).await;
    // The file after the first one is opened while the first is read.
    let opened = ["1 matched", "2 matched"]
        .map(|n| format!("files_ranges_pruned_statistics=12 total → {n}"));
    assert!(opened.iter().any(|opened| plan.contains(opened)), "{plan}");
}
