//! Partitioning by every transform, and tables whose partitioning or columns changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Key, Result};
use futures::StreamExt;
use lake::{Alter, Append, Lake, PartitionField, PrimitiveLiteral, Table, TableSpec, Transform};

use crate::support::{
    NOVEMBER, batch, commit, head, key, lake, meta, reopened, row, schema, spec, totals,
};

async fn alter(lake: &Lake, alter: Alter) -> Table {
    let table = head(lake, &key()).await;
    let staged = lake.stage_alter(&table, &[alter]).await.unwrap();
    commit(lake, staged).await;
    head(&reopened(lake).await, &key()).await
}

fn by(fields: &[(&str, Transform)]) -> TableSpec {
    let fields = fields.iter();
    let fields = fields.map(|(column, transform)| PartitionField::new(*column, *transform));
    TableSpec {
        schema: schema(),
        partition: fields.collect(),
        sort: vec!["pump".into()],
        ..TableSpec::default()
    }
}

/// Folders below `data/` with the rows of their files.
async fn folders(table: &Table) -> Vec<(String, u64)> {
    let files = table.data_files().await.unwrap();
    let mut folders: Vec<_> = files
        .iter()
        .map(|file| {
            let path = file.path.as_ref().split_once("/data/").unwrap().1;
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            (folder.to_owned(), file.file.record_count())
        })
        .collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn rows_are_split_by_several_transforms() {
    let lake = lake().await;
    let spec = by(&[
        ("ts", Transform::Month),
        ("pump", Transform::Truncate(2)),
        ("cycles", Transform::Truncate(10)),
        ("pressure", Transform::Void),
    ]);
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    let rows = batch(&[
        (Some(NOVEMBER), Some("north-1"), Some(1.0), Some(15)),
        (Some(NOVEMBER - 1), Some("north-1"), Some(1.0), Some(15)),
        (Some(NOVEMBER + 5), Some("north-2"), Some(1.0), Some(19)),
        (Some(NOVEMBER), Some("south"), Some(1.0), Some(-1)),
        (None, None, None, None),
    ]);
    lake.append_batches("main", &key(), vec![rows], meta())
        .await
        .unwrap();
    let table = head(&reopened(&lake).await, &key()).await;
    let expected = [
        (
            "ts_month=681/pump_trunc_2=no/cycles_trunc_10=10/pressure_null=null",
            1,
        ),
        (
            "ts_month=682/pump_trunc_2=no/cycles_trunc_10=10/pressure_null=null",
            2,
        ),
        (
            "ts_month=682/pump_trunc_2=so/cycles_trunc_10=-10/pressure_null=null",
            1,
        ),
        (
            "ts_month=null/pump_trunc_2=null/cycles_trunc_10=null/pressure_null=null",
            1,
        ),
    ];
    assert_eq!(
        folders(&table).await,
        expected.map(|(folder, rows)| (folder.to_owned(), rows))
    );
    assert_eq!(totals(&lake, &table).await, (5, 48));
}

#[tokio::test]
async fn the_other_transforms_split_too() {
    let lake = lake().await;
    for (at, transform) in [
        Transform::Year,
        Transform::Hour,
        Transform::Bucket(4),
        Transform::Identity,
    ]
    .into_iter()
    .enumerate()
    {
        let key: Key = format!("pumps.t{at}").parse().unwrap();
        let spec = by(&[("ts", transform)]);
        lake.create_table("main", &key, &spec, meta())
            .await
            .unwrap();
        let rows: Vec<_> = (0..10)
            .map(|n| row(NOVEMBER + n * 3_600_000_000, "p", n))
            .collect();
        lake.append_batches("main", &key, rows, meta())
            .await
            .unwrap();
        let table = head(&reopened(&lake).await, &key).await;
        assert_eq!(totals(&lake, &table).await, (10, 45));
        let files = table.data_files().await.unwrap().len();
        let expected = match transform {
            Transform::Year => 1..=1,
            Transform::Bucket(_) => 2..=4,
            _ => 10..=10,
        };
        assert!(expected.contains(&files), "{transform}: {files}");
    }
}

#[tokio::test]
async fn a_stream_becomes_one_file_a_partition() {
    let lake = lake().await;
    let spec = by(&[("pump", Transform::Identity)]);
    lake.create_table("main", &key(), &spec, meta())
        .await
        .unwrap();
    let table = head(&lake, &key()).await;
    let batches = (0..50).map(|n| Ok(row(NOVEMBER + n, &format!("p{}", n % 3), n)));
    let files = lake
        .write_stream(&table, futures::stream::iter(batches))
        .await
        .unwrap();
    assert_eq!(files.len(), 3);
    let change = lake.append(vec![Append::to(&table, files)]);
    lake.catalog()
        .commit("main", meta(), Arc::new(change))
        .await
        .unwrap();
    assert_eq!(
        totals(&lake, &head(&lake, &key()).await).await,
        (50, 49 * 25)
    );

    let failing = futures::stream::iter(0..3).map(|n| match n {
        2 => Err(catalog::Error::invalid("the source broke")),
        n => Ok(row(NOVEMBER, "p", n)),
    });
    let error: Result<_> = lake.write_stream(&table, failing).await;
    assert!(error.unwrap_err().message().contains("broke"));
}

#[tokio::test]
async fn files_of_several_partitionings_live_together() {
    let lake = lake().await;
    lake.create_table("main", &key(), &spec(), meta())
        .await
        .unwrap();
    lake.append_batches("main", &key(), vec![row(NOVEMBER, "p1", 1)], meta())
        .await
        .unwrap();
    let before = head(&lake, &key()).await;
    let files = lake
        .write(&before, vec![row(NOVEMBER, "p1", 2)])
        .await
        .unwrap();
    let late = Append::to(&before, files);
    let by_pump = vec![PartitionField::new("pump", Transform::Identity)];
    let altered = alter(&lake, Alter::SetPartition(by_pump)).await;
    assert_eq!(altered.metadata().default_partition_spec_id(), 1);
    assert_eq!(
        altered.metadata().default_partition_spec().fields()[0].field_id,
        1001
    );
    lake.append_batches("main", &key(), vec![row(NOVEMBER, "p1", 4)], meta())
        .await
        .unwrap();
    let change = Arc::new(lake.append(vec![late]));
    lake.catalog().commit("main", meta(), change).await.unwrap();

    let fresh = reopened(&lake).await;
    let now = head(&fresh, &key()).await;
    assert_eq!(totals(&fresh, &now).await, (3, 7));
    let files = now.data_files().await.unwrap();
    let specs: Vec<_> = files.iter().map(|file| file.partition_spec_id).collect();
    assert_eq!(
        specs,
        [0, 1, 0],
        "files written before keep their partitioning"
    );

    let by_day = vec![PartitionField::day("ts")];
    let back = alter(&lake, Alter::SetPartition(by_day)).await;
    assert_eq!(
        back.metadata().default_partition_spec_id(),
        0,
        "the old spec is taken again"
    );
    let none = alter(&lake, Alter::SetPartition(vec![])).await;
    assert!(none.metadata().default_partition_spec().is_unpartitioned());
}

#[tokio::test]
async fn a_widened_partition_column_survives_merging_manifests() {
    let lake = lake().await;
    let key: Key = key();
    let schema = Arc::new(Schema::new(vec![Field::new(
        "cycles",
        DataType::Int32,
        true,
    )]));
    let spec = TableSpec {
        schema: Arc::clone(&schema),
        partition: vec![PartitionField::new("cycles", Transform::Identity)],
        ..TableSpec::default()
    };
    lake.create_table("main", &key, &spec, meta())
        .await
        .unwrap();
    let rows = |n| {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![n]));
        RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()
    };
    for n in 0..8 {
        lake.append_batches("main", &key, vec![rows(n)], meta())
            .await
            .unwrap();
    }
    let widened = Alter::WidenColumn {
        name: "cycles".into(),
        to: DataType::Int64,
    };
    alter(&lake, widened).await;
    let fresh = reopened(&lake).await;
    for n in 8..40 {
        fresh
            .append_batches("main", &key, vec![rows(n)], meta())
            .await
            .unwrap();
    }
    let table = head(&reopened(&lake).await, &key).await;
    let files = table.data_files().await.unwrap();
    assert_eq!(files.len(), 40);
    let mut values: Vec<_> = files
        .iter()
        .map(|file| file.file.partition().fields()[0].clone().unwrap())
        .map(|literal| literal.as_primitive_literal().unwrap())
        .map(|value| match value {
            PrimitiveLiteral::Long(value) => value,
            other => panic!("{other:?}"),
        })
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..40).collect::<Vec<_>>());
}
