//! `POST /v1/predict` at a fixed rate of requests, against the binary, over connections that
//! stay open. A request's time counts from the moment it was due, so that a server that falls
//! behind cannot hide it.
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::Result;
use crate::lake::{self, MODEL};
use crate::report::Goals;
use crate::xgboost::{COLUMNS, Data};

/// Requests a second.
const RATE: u32 = 500;
/// How long each round lasts.
const SECONDS: u32 = 20;
const CONNECTIONS: usize = 32;
const ROWS: usize = 20_000;

/// Prints percentiles for requests of one row and of ten.
pub(crate) async fn measure(goals: &mut Goals) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = Data::generate(ROWS);
    lake::trained(&folder.path().join("lake"), &data).await?;
    let (_server, address) = serve(folder.path()).await?;
    println!("## /v1/predict\n");
    println!(
        "{RATE} requests a second for {SECONDS} s over {CONNECTIONS} connections, {COLUMNS} features, default settings. Times from when a request was due to the end of its answer; the load generator shares the machine.\n"
    );
    println!("| rows a request | p50, ms | p95, ms | p99, ms | worst, ms |\n|---|---|---|---|---|");
    round(&address, &request(&data, 1), 3).await?;
    for rows in [1, 10] {
        let mut times = round(&address, &request(&data, rows), SECONDS).await?;
        times.sort_unstable();
        let at = |share: f64| {
            let place = ((times.len() - 1) as f64 * share) as usize;
            times[place].as_secs_f64() * 1000.0
        };
        println!(
            "| {rows} | {:.2} | {:.2} | {:.2} | {:.2} |",
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0)
        );
        if rows == 1 {
            goals.at_most("/v1/predict p99 at 500 requests/s, ms", 20.0, at(0.99));
        }
    }
    println!();
    Ok(())
}

/// The binary with the role `ml`, killed when dropped.
async fn serve(folder: &Path) -> Result<(Child, String)> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pumphouse"))
        .args(["serve", "--roles", "ml", "--http", "127.0.0.1:0"])
        .current_dir(folder)
        .env("PUMPHOUSE_LAKE_URL", folder.join("lake"))
        .env("PUMPHOUSE_DATA_DIR", folder.join("node"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("the server has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut address = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some(http) = line.strip_prefix("listening http=") {
            http.clone_into(&mut address);
        }
        if line == "ready" {
            return Ok((child, address));
        }
    }
    Err("the server ended before it was ready".into())
}

fn request(data: &Data, rows: usize) -> Vec<u8> {
    let rows: Vec<serde_json::Value> = (0..rows)
        .map(|row| {
            let values = &data.values[row * COLUMNS..(row + 1) * COLUMNS];
            let named = values.iter().enumerate();
            named
                .map(|(n, value)| (format!("c{n}"), serde_json::json!(value)))
                .collect()
        })
        .collect();
    let body = serde_json::json!({"model": MODEL, "rows": rows}).to_string();
    format!(
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The time of every request of one round.
async fn round(address: &str, request: &[u8], seconds: u32) -> Result<Vec<Duration>> {
    let (free, mut idle) = mpsc::unbounded_channel();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        free.send(socket)?;
    }
    let (report, mut times) = mpsc::unbounded_channel();
    let started = Instant::now();
    for number in 0..RATE * seconds {
        let due = started + Duration::from_secs(1) / RATE * number;
        tokio::time::sleep_until(due.into()).await;
        let socket = idle.recv().await.ok_or("every connection broke")?;
        let (free, report) = (free.clone(), report.clone());
        let request = request.to_vec();
        tokio::spawn(async move {
            let done = exchange(socket, &request).await;
            let outcome = done.map(|socket| {
                // The round may be over.
                let _ = free.send(socket);
                due.elapsed()
            });
            let _ = report.send(outcome);
        });
    }
    drop(report);
    let mut all = Vec::new();
    while let Some(time) = times.recv().await {
        all.push(time?);
    }
    Ok(all)
}

/// Sends a request and reads its whole answer, which must be a success.
async fn exchange(mut socket: TcpStream, request: &[u8]) -> Result<TcpStream> {
    socket.write_all(request).await?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        if !head.starts_with("HTTP/1.1 200") {
            return Err(text.into_owned().into());
        }
        let mut lines = head.lines();
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.ok_or("an answer without a length")? {
            return Ok(socket);
        }
    }
}
