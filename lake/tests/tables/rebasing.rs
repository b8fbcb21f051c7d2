//! Commits that another commit overtook: appends always land, rewrites while their files
//! are there.

use std::collections::BTreeMap;

use catalog::{ErrorKind, Operation};
use lake::{Lake, RewriteKind};

use crate::branching::{
    add_column, alter, append, at, compact, rewrite, rows, staged_rewrite, two_branches,
};
use crate::support::{NOVEMBER, key, meta, row, spec};

async fn staged_append(lake: &Lake, n: i64) -> Operation {
    let table = at(lake, "main").await;
    let batches = vec![row(NOVEMBER + n, "p1", n)];
    let files = lake.write(&table, batches).await.unwrap();
    let staged = lake.stage_append(&table, files, BTreeMap::new()).await;
    staged.unwrap()
}

#[tokio::test]
async fn appends_land_whatever_came_between() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    let staged = staged_append(&lake, 10).await;
    compact(&lake, "main", &[1, 2]).await;
    rewrite(&lake, "main", &[3], &[]).await;
    alter(
        &lake,
        "main",
        &[add_column("x", arrow::datatypes::DataType::Int64)],
    )
    .await;
    let committed = lake.commit("main", meta(), &base, vec![staged]).await;
    committed.unwrap();
    assert_eq!(rows(&lake, "main").await, [1, 2, 10]);
}

#[tokio::test]
async fn a_rewrite_lands_while_its_files_are_there_and_conflicts_otherwise() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    let table = at(&lake, "main").await;
    let kind = RewriteKind::Overwrite;
    let first = staged_rewrite(&lake, &table, &[1], &[100], kind).await;
    let second = staged_rewrite(&lake, &table, &[2], &[200], kind).await;
    let third = staged_rewrite(&lake, &table, &[1, 3], &[300], kind).await;
    append(&lake, "main", 10).await;
    for staged in [first, second] {
        let committed = lake.commit("main", meta(), &base, vec![staged]).await;
        committed.unwrap();
    }
    assert_eq!(rows(&lake, "main").await, [3, 10, 100, 200]);
    let late = lake.commit("main", meta(), &base, vec![third]).await;
    let error = late.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for word in [
        "pumps.telemetry",
        "replaced 2 files by 1",
        "replaced meanwhile",
    ] {
        assert!(error.message().contains(word), "{error}");
    }
    assert_eq!(rows(&lake, "main").await, [3, 10, 100, 200]);
}

#[tokio::test]
async fn a_drop_drops_the_table_as_it_has_become_but_a_rename_does_not_lose_rows() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    let content = base.get(&key()).unwrap().unwrap();
    append(&lake, "main", 10).await;
    let drop = Operation::Delete { key: key() };
    let renamed = Operation::Put {
        key: "pumps.renamed".parse().unwrap(),
        content,
    };
    let rename = vec![drop.clone(), renamed];
    let error = lake
        .commit("main", meta(), &base, rename)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let dropped = lake.commit("main", meta(), &base, vec![drop]).await;
    assert!(!dropped.unwrap().contains(&key()).unwrap());
}

#[tokio::test]
async fn two_creators_of_one_table_conflict_and_other_keys_do_not() {
    let lake = two_branches().await;
    let base = lake.catalog().head("main").await.unwrap();
    let create = async |name: &str| {
        let key = name.parse().unwrap();
        let staged = lake.stage_create(&base, &key, &spec()).await;
        vec![staged.unwrap()]
    };
    let (first, second, third) = (
        create("pumps.new").await,
        create("pumps.new").await,
        create("pumps.other").await,
    );
    lake.commit("main", meta(), &base, first).await.unwrap();
    let error = lake
        .commit("main", meta(), &base, second)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("pumps.new"), "{error}");
    lake.commit("main", meta(), &base, third).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_on_one_table_all_land() {
    let lake = two_branches().await;
    let tasks = (0..8).map(|task| {
        let lake = match task % 2 {
            0 => lake.clone(),
            _ => Lake::new(lake.catalog().clone()),
        };
        tokio::spawn(async move {
            for n in 0..4 {
                let base = lake.catalog().head("main").await.unwrap();
                let table = lake.table(&base, &key()).await.unwrap();
                let n = 100 + 10 * task + n;
                let batches = vec![row(NOVEMBER + n, "p1", n)];
                let files = lake.write(&table, batches).await.unwrap();
                let staged = lake.stage_append(&table, files, BTreeMap::new()).await;
                let operations = vec![staged.unwrap()];
                lake.commit("main", meta(), &base, operations)
                    .await
                    .unwrap();
            }
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    let new = (0..8).flat_map(|task| (0..4).map(move |n| 100 + 10 * task + n));
    let expected: Vec<i64> = [1, 2, 3].into_iter().chain(new).collect();
    assert_eq!(rows(&lake, "main").await, expected);
}
