//! Merging a branch that changed a thousand tables.

use std::time::Instant;

use catalog::{CommitMeta, Key, MergeOptions};
use futures::{StreamExt, TryStreamExt};
use lake::{Append, Lake};

use crate::appends::{batch, open, spec};
use crate::{Result, median};

const TABLES: usize = 1_000;
const PARALLEL: usize = 16;

/// Prints the seconds of a merge, with the target changed elsewhere and in the same tables.
pub(crate) async fn measure(rounds: usize) -> Result<()> {
    println!("## Merging a branch that changed {TABLES} tables\n");
    println!("| round | the target changed | seconds |");
    println!("|---|---|---|");
    let folder = tempfile::tempdir()?;
    let lake = open(folder.path()).await?;
    let keys: Vec<Key> = (0..TABLES)
        .map(|n| Key::new("bench", format!("t{n}")))
        .collect::<catalog::Result<_>>()?;
    let other = Key::new("bench", "other")?;
    for key in keys.iter().chain([&other]) {
        let meta = CommitMeta::new("bench", "create");
        lake.create_table("main", key, &spec(), meta).await?;
    }
    for (name, on_main) in [
        ("another table", std::slice::from_ref(&other)),
        ("the same tables: their rows are appended anew", &keys),
    ] {
        let mut times = Vec::new();
        for round in 1..=rounds {
            let seconds = merge(&lake, &keys, on_main).await?;
            println!("| {round} | {name} | {seconds:.2} |");
            times.push(seconds);
        }
        println!("| median | {name} | {:.2} |", median(times));
    }
    println!();
    Ok(())
}

async fn merge(lake: &Lake, changed: &[Key], on_main: &[Key]) -> Result<f64> {
    let catalog = lake.catalog();
    catalog.create_branch("dev", "main", "bench").await?;
    append_to(lake, "dev", changed).await?;
    append_to(lake, "main", on_main).await?;
    let started = Instant::now();
    let options = MergeOptions {
        author: "bench".to_owned(),
        ..MergeOptions::default()
    };
    lake.merge("dev", "main", &options).await?.into_result()?;
    let seconds = started.elapsed().as_secs_f64();
    catalog.delete_branch("dev", "bench").await?;
    Ok(seconds)
}

/// One commit that appends a file to each table.
async fn append_to(lake: &Lake, branch: &str, keys: &[Key]) -> Result<()> {
    let head = lake.catalog().head(branch).await?;
    let appends: Vec<Append> = futures::stream::iter(keys)
        .map(|key| async {
            let table = lake.table(&head, key).await?;
            let files = lake.write(&table, vec![batch()]).await?;
            Ok::<_, catalog::Error>(Append::to(&table, files))
        })
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    let meta = CommitMeta::new("bench", "append");
    let change = std::sync::Arc::new(lake.append(appends));
    lake.catalog().commit(branch, meta, change).await?;
    Ok(())
}
