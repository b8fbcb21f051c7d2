//! A file is loaded once: whatever it is called, however often it comes, whoever is first.

use std::time::Duration;

use catalog::collect::SquashPolicy;
use catalog::{ErrorKind, MergeOptions};
use ingest::load::{LoadOptions, Outcome};
use lake::collect::CollectOptions;

use crate::support::{House, TABLE};

const CSV: &str = "n,name\n1,one\n2,two\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_loaded_once_under_any_name() {
    let house = House::new().await;
    let file = house.file("a.csv", CSV);
    let loaded = house
        .load(std::slice::from_ref(&file), LoadOptions::default())
        .await
        .unwrap();
    assert_eq!((loaded.rows, loaded.files), (2, 1));
    let commit = house.lake.catalog().head("main").await.unwrap();
    let properties = &commit.commit().properties;
    assert!(
        properties
            .iter()
            .any(|(name, value)| name.starts_with("load.") && *value == file)
    );

    let head = house.head().await;
    let twin = house.file("b.csv", CSV);
    let plan = house
        .plan(&[file.clone(), twin.clone()], LoadOptions::default())
        .await
        .unwrap();
    assert!(plan.reading.files.is_empty());
    assert_eq!(plan.skipped.len(), 2, "{:?}", plan.skipped);
    assert_eq!(house.head().await, head);

    // New files go in beside old ones.
    let new = house.file("c.csv", "n,name\n3,three\n");
    let plan = house
        .plan(&[file.clone(), new], LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(plan.reading.rows(), 1);
    house.run(plan).await.unwrap();
    assert_eq!(house.rows(TABLE).await, ["1,one", "2,two", "3,three"]);

    let again = LoadOptions {
        again: true,
        ..LoadOptions::default()
    };
    let plan = house.plan(&[file, twin], again).await.unwrap();
    assert_eq!(
        plan.reading.rows(),
        2,
        "the same content once a call, even then"
    );
    house.run(plan).await.unwrap();
    assert_eq!(house.rows(TABLE).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reverted_load_can_be_loaded_again() {
    let house = House::new().await;
    let first = house.file("a.csv", CSV);
    let second = house.file("b.csv", "n,name\n3,three\n");
    house
        .load(std::slice::from_ref(&first), LoadOptions::default())
        .await
        .unwrap();
    let loaded = house
        .load(std::slice::from_ref(&second), LoadOptions::default())
        .await
        .unwrap();
    let third = house.file("c.csv", "n,name\n4,four\n");
    house.load(&[third], LoadOptions::default()).await.unwrap();
    let commit = loaded.commit.to_string();
    let options = MergeOptions {
        author: "tester".into(),
        ..MergeOptions::default()
    };
    let report = house.lake.revert(&commit, "main", &options).await.unwrap();
    report.into_result().unwrap();
    assert_eq!(house.rows(TABLE).await, ["1,one", "2,two", "4,four"]);
    let plan = house
        .plan(&[first, second], LoadOptions::default())
        .await
        .unwrap();
    assert_eq!((plan.skipped.len(), plan.reading.rows()), (1, 1));
    house.run(plan).await.unwrap();
    assert_eq!(
        house.rows(TABLE).await,
        ["1,one", "2,two", "3,three", "4,four"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn squashing_and_collecting_do_not_forget_files() {
    let house = House::new().await;
    let file = house.file("a.csv", CSV);
    house
        .load(std::slice::from_ref(&file), LoadOptions::default())
        .await
        .unwrap();
    for n in 0..5 {
        let more = house.file("more.csv", format!("n,name\n{n},x\n"));
        house.load(&[more], LoadOptions::default()).await.unwrap();
    }
    for _ in 0..2 {
        let options = CollectOptions {
            grace: Duration::ZERO,
            reflog: Duration::ZERO,
            squash: Some(SquashPolicy {
                older_than: Duration::ZERO,
                keep_every: Duration::from_secs(1),
            }),
            dry_run: false,
        };
        house.lake.collect(&options, &|_| {}).await.unwrap();
    }
    let plan = house.plan(&[file], LoadOptions::default()).await.unwrap();
    assert!(plan.reading.files.is_empty());
    assert_eq!(house.rows(TABLE).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_loads_of_a_file_one_wins() {
    for there in [false, true] {
        let house = House::new().await;
        if there {
            let other = house.file("other.csv", "n,name\n9,nine\n");
            house.load(&[other], LoadOptions::default()).await.unwrap();
        }
        let file = house.file("a.csv", CSV);
        let plan = || house.plan(std::slice::from_ref(&file), LoadOptions::default());
        let (one, two) = (plan().await.unwrap(), plan().await.unwrap());
        let (one, two) = tokio::join!(house.run(one), house.run(two));
        let outcomes = [one.unwrap(), two.unwrap()];
        let won = outcomes
            .iter()
            .filter(|it| matches!(it, Outcome::Loaded(_)))
            .count();
        assert_eq!(won, 1, "{outcomes:?}");
        assert_eq!(house.rows(TABLE).await.len(), 2 + usize::from(there));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_sees_another_that_was_done_since_its_plan() {
    for there in [false, true] {
        let house = House::new().await;
        if there {
            let other = house.file("other.csv", "n,name\n9,nine\n");
            house.load(&[other], LoadOptions::default()).await.unwrap();
        }
        let file = house.file("a.csv", CSV);
        let plan = || house.plan(std::slice::from_ref(&file), LoadOptions::default());
        let (late, early) = (plan().await.unwrap(), plan().await.unwrap());
        let early = house.run(early).await.unwrap();
        assert!(matches!(early, Outcome::Loaded(_)));
        let late = house.run(late).await.unwrap();
        assert!(matches!(late, Outcome::Overtaken(_)), "{late:?}");
        assert_eq!(house.rows(TABLE).await.len(), 2 + usize::from(there));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_of_different_files_do_not_stop_each_other() {
    let house = House::new().await;
    let names: Vec<String> = (0..4)
        .map(|n| house.file(&format!("{n}.csv"), format!("n,c{n}\n{n},x\n")))
        .collect();
    let mut plans = Vec::new();
    for name in &names {
        plans.push(
            house
                .plan(std::slice::from_ref(name), LoadOptions::default())
                .await
                .unwrap(),
        );
    }
    // The table is made by one of them; each brings a column of its own.
    let mut done = Vec::new();
    for plan in plans.drain(..3) {
        done.push(house.run(plan));
    }
    for outcome in futures::future::join_all(done).await {
        assert!(matches!(outcome.unwrap(), Outcome::Loaded(_)));
    }
    assert_eq!(house.rows(TABLE).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_loaded_the_same_file_do_not_double_it_when_merged() {
    let house = House::new().await;
    let base = house.file("base.csv", "n,name\n0,zero\n");
    house.load(&[base], LoadOptions::default()).await.unwrap();
    house
        .lake
        .catalog()
        .create_branch("trial", "main", "tester")
        .await
        .unwrap();
    let file = house.file("a.csv", CSV);
    let plan = house
        .plan_on("trial", std::slice::from_ref(&file), LoadOptions::default())
        .await
        .unwrap();
    house.run(plan).await.unwrap();
    assert_eq!(house.rows(TABLE).await.len(), 1);

    // The file is not on main: it may be loaded there too, but then the branches clash.
    house
        .lake
        .catalog()
        .create_branch("other", "main", "tester")
        .await
        .unwrap();
    house
        .load(std::slice::from_ref(&file), LoadOptions::default())
        .await
        .unwrap();
    let options = MergeOptions {
        author: "tester".into(),
        ..MergeOptions::default()
    };
    let report = house.lake.merge("trial", "main", &options).await.unwrap();
    assert_eq!(
        report.into_result().unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(house.rows(TABLE).await.len(), 3);

    // Where only one has it, the merge brings it, and its memory.
    let report = house.lake.merge("trial", "other", &options).await.unwrap();
    report.into_result().unwrap();
    let plan = house
        .plan_on("other", &[file], LoadOptions::default())
        .await
        .unwrap();
    assert!(plan.reading.files.is_empty());
    assert_eq!(house.rows_on("other", TABLE).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_between_the_readings_is_not_loaded() {
    let house = House::new().await;
    let file = house.file("a.csv", CSV);
    let plan = house.plan(&[file], LoadOptions::default()).await.unwrap();
    house.file("a.csv", "n,name\n1,one\n2,other\n3,more\n");
    let error = house.run(plan).await.unwrap_err();
    assert!(error.message().contains("was changed"), "{error}");
    assert!(house.rows(TABLE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_branch_is_refused_before_anything_is_read() {
    let house = House::new().await;
    house
        .lake
        .catalog()
        .protect_branch("main", true, "tester")
        .await
        .unwrap();
    let error = house
        .refused(&[house.file("a.csv", CSV)], LoadOptions::default())
        .await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}
