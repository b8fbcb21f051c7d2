//! How often writers fail while ingest commits every second beside them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use catalog::{CommitMeta, ErrorKind, Key};
use lake::Lake;

use crate::Result;
use crate::appends::{batch, open, spec};

const WRITERS: usize = 3;

/// Prints commits and conflicts of three writers in another process than the ingester's.
pub(crate) async fn measure(seconds: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lake_folder = folder.path().join("lake");
    let (server, mqtt) = serve(folder.path(), &lake_folder)?;
    let pumps = simulate(&mqtt)?;
    let lake = open(&lake_folder).await?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(write_until(lake.clone(), n, end)))
        .collect();
    let (mut commits, mut conflicts) = (0, 0);
    for writer in writers {
        let (committed, refused) = writer.await??;
        (commits, conflicts) = (commits + committed, conflicts + refused);
    }
    drop((pumps, server));
    let log = lake.catalog().log("main", usize::MAX).await?;
    let ingested = log
        .iter()
        .filter(|commit| {
            commit
                .properties
                .keys()
                .any(|name| name.starts_with("watermark."))
        })
        .count();
    println!("## Conflicts\n");
    println!(
        "| ingest commits | commits of {WRITERS} writers to other tables, another process | conflicts | rate |"
    );
    println!("|---|---|---|---|");
    let rate = f64::from(conflicts) / f64::from(commits + conflicts) * 100.0;
    println!("| {ingested} | {commits} | {conflicts} | {rate:.1} % |");
    Ok(())
}

async fn write_until(lake: Lake, writer: usize, end: Instant) -> catalog::Result<(u32, u32)> {
    let key = Key::new("bench", format!("w{writer}"))?;
    let meta = CommitMeta::new("bench", "create");
    lake.create_table("main", &key, &spec(), meta).await?;
    let (mut commits, mut conflicts) = (0, 0);
    while Instant::now() < end {
        let meta = CommitMeta::new("bench", "append");
        match lake.append_batches("main", &key, vec![batch()], meta).await {
            Ok(_) => commits += 1,
            Err(error) if error.kind() == ErrorKind::Conflict => conflicts += 1,
            Err(error) => return Err(error),
        }
    }
    Ok((commits, conflicts))
}

/// A child that is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone already needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `pumphouse serve` with its own broker and a commit a second; its broker's address too.
fn serve(folder: &Path, lake: &Path) -> Result<(Running, String)> {
    let config = folder.join("pumphouse.toml");
    std::fs::write(
        &config,
        format!(
            r#"data_dir = "{}/data"
[lake]
url = "{}"
[listen]
http = "127.0.0.1:0"
flight = "127.0.0.1:0"
[mqtt]
listen = "127.0.0.1:0"
[ingest]
flush_interval = "1s"
[[stream]]
name = "pumps"
topic = "pumps/{{site}}/{{pump}}/telemetry"
table = "pumps.telemetry"
"#,
            folder.display(),
            lake.display()
        ),
    )?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.join("serve.log"))?)
        .spawn()?;
    let output = child.stdout.take().ok_or("no standard output")?;
    let server = Running(child);
    let mut mqtt = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(address) = line.strip_prefix("listening mqtt=") {
            mqtt = Some(format!("mqtt://{address}"));
        }
        if line == "ready" {
            break;
        }
    }
    let failed = || std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
    Ok((server, mqtt.ok_or_else(failed)?))
}

fn simulate(broker: &str) -> Result<Running> {
    let child = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
        .args(["simulate", "--broker", broker])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(child))
}
