//! How opening a branch and creating one grow with the length of its history and its tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use catalog::{Catalog, CommitMeta, Content, Key, Operation, Store, StoreConfig};

use crate::{Result, median};

const WRITERS: u64 = 8;
const TIMES: usize = 51;

/// Prints opening `main` after 1,000 and 100,000 commits, and branching 10 and 10,000 tables.
pub(crate) async fn measure(rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    println!("## Growth\n");
    println!("Each time in a catalog opened anew, its caches empty; medians of {TIMES}.\n");
    println!("| round | what | small, ms | large, ms | ratio |");
    println!("|---|---|---|---|---|");
    let (short, long) = (folder.path().join("short"), folder.path().join("long"));
    commit_many(&short, 1_000).await?;
    commit_many(&long, 100_000).await?;
    let (few, many) = (folder.path().join("few"), folder.path().join("many"));
    put_tables(&few, 10).await?;
    put_tables(&many, 10_000).await?;
    for round in 1..=rounds {
        let opening = [open(&short).await?, open(&long).await?];
        print_row(round, "open `main`: 1,000 and 100,000 commits", opening);
        let branching = [branch(&few, round).await?, branch(&many, round).await?];
        print_row(round, "create a branch: 10 and 10,000 tables", branching);
        let reading = [read_one(&few).await?, read_one(&many).await?];
        print_row(round, "open and look up one table: 10 and 10,000", reading);
        let merging = [merge(&few, round).await?, merge(&many, round).await?];
        print_row(round, "merge one changed table: 10 and 10,000", merging);
    }
    println!();
    Ok(())
}

fn print_row(round: usize, what: &str, [small, large]: [f64; 2]) {
    println!(
        "| {round} | {what} | {small:.2} | {large:.2} | {:.2} |",
        large / small
    );
}

async fn connect(folder: &Path) -> Result<Catalog> {
    let config = StoreConfig {
        url: folder.display().to_string(),
        ..StoreConfig::default()
    };
    Ok(Catalog::open(Store::open(&config).await?).await?)
}

fn table(n: u64) -> Result<Operation> {
    Ok(Operation::Put {
        key: Key::new("bench", format!("t{n}"))?,
        content: Content::IcebergTable {
            uuid: uuid::Uuid::new_v4(),
            metadata_location: format!("file:///lake/bench/t{n}/metadata/00000.metadata.json"),
        },
    })
}

/// Small commits from several writers, as a server makes them.
async fn commit_many(folder: &Path, commits: u64) -> Result<()> {
    let catalog = connect(folder).await?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                for n in 0..commits / WRITERS {
                    let head = catalog.head("main").await?;
                    let operations = vec![Operation::Put {
                        key: Key::of_namespace(format!("w{writer}"))?,
                        content: Content::Namespace {
                            properties: BTreeMap::from([("n".to_owned(), n.to_string())]),
                        },
                    }];
                    let meta = CommitMeta::new("bench", "commit");
                    catalog
                        .commit_operations("main", meta, head.id(), operations)
                        .await?;
                }
                Ok::<_, catalog::Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

async fn put_tables(folder: &Path, tables: u64) -> Result<()> {
    let catalog = connect(folder).await?;
    let head = catalog.head("main").await?;
    let operations: Vec<_> = (0..tables).map(table).collect::<Result<_>>()?;
    let meta = CommitMeta::new("bench", "create tables");
    catalog
        .commit_operations("main", meta, head.id(), operations)
        .await?;
    Ok(())
}

async fn open(folder: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        connect(folder).await?.head("main").await?;
        times.push(millis(started));
    }
    Ok(median(times))
}

async fn branch(folder: &Path, round: usize) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..TIMES {
        let catalog = connect(folder).await?;
        let started = Instant::now();
        let name = format!("b{round}-{n}");
        catalog.create_branch(&name, "main", "bench").await?;
        times.push(millis(started));
    }
    Ok(median(times))
}

async fn read_one(folder: &Path) -> Result<f64> {
    let key = Key::new("bench", "t7")?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        let snapshot = connect(folder).await?.head("main").await?;
        assert!(snapshot.get(&key)?.is_some());
        times.push(millis(started));
    }
    Ok(median(times))
}

/// One table changes on the branch, another one on `main`, so a merge commit is made.
async fn merge(folder: &Path, round: usize) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..TIMES {
        let catalog = connect(folder).await?;
        let name = format!("m{round}-{n}");
        catalog.create_branch(&name, "main", "bench").await?;
        for (branch, changed) in [(name.as_str(), 3), ("main", 5)] {
            let head = catalog.head(branch).await?;
            let meta = CommitMeta::new("bench", "change");
            catalog
                .commit_operations(branch, meta, head.id(), vec![table(changed)?])
                .await?;
        }
        let catalog = connect(folder).await?;
        let started = Instant::now();
        let options = catalog::MergeOptions::default();
        let report = catalog
            .merge(&name, "main", &options, &catalog::KeysOnly)
            .await?;
        report.into_result()?;
        times.push(millis(started));
    }
    Ok(median(times))
}

fn millis(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1_000.0
}
