//! Where a process spends its processor time, by stage of a message's path: perf(1) samples its
//! stacks, and the innermost function that is known to belong to a stage decides.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Result;

/// Samples a second and bytes of stack each takes along.
const FREQUENCY: &str = "97";
const CALL_GRAPH: &str = "dwarf,16384";
/// How long samples are taken.
const SECONDS: &str = "10";
/// Before that the process gets going.
const DELAY: Duration = Duration::from_secs(2);

/// Parts of function names, demangled or as compiled (`ingest::wal` is `6ingest3wal`), and the
/// stage they belong to; the first that fits counts.
const STAGES: &[(&str, &[&str])] = &[
    (
        "MQTT: read and decode packets, acknowledge",
        &["ingest::source", "rmqtt_codec", "rumqttc"],
    ),
    (
        "log: append, checksum, sync",
        &[
            "ingest::wal::writer",
            "ingest::wal::segment",
            "ingest::wal::dedup",
        ],
    ),
    ("log: read again where decoding is behind", &["ingest::wal"]),
    (
        "decode JSON into columns",
        &["ingest::decode", "ingest::decoding"],
    ),
    ("hot buffer", &["ingest::buffer"]),
    (
        "sort and arrange rows for a file",
        &[
            "lake::write::arrange",
            "lake::write::conform",
            "lake::write::partition",
        ],
    ),
    ("Parquet: encode, compress", &["lake::write", "parquet::"]),
    (
        "commit",
        &["lake::", "iceberg::", "catalog::", "ingest::flush"],
    ),
    (
        "queries",
        &["query::", "datafusion", "arrow_flight", "tonic"],
    ),
];
const OTHER: &str = "other: scheduling of tasks, the kernel's own work";

/// A recording under way.
pub(crate) struct Profile {
    data: PathBuf,
    recording: std::result::Result<Child, String>,
}

/// Stages and their shares, largest first; or why there is no profile.
pub(crate) type Outcome = std::result::Result<Vec<(&'static str, f64)>, String>;

impl Profile {
    /// Begins to record the process, a little later.
    pub(crate) fn start(folder: &Path, process: u32) -> Self {
        let data = folder.join("perf.data");
        let recording = Command::new("perf")
            .args([
                "record",
                "--quiet",
                "-F",
                FREQUENCY,
                "--call-graph",
                CALL_GRAPH,
            ])
            .arg("--output")
            .arg(&data)
            .args(["-D", &DELAY.as_millis().to_string()])
            .args(["-p", &process.to_string(), "--", "sleep", SECONDS])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            data,
            recording: recording.map_err(|e| format!("perf cannot be started: {e}")),
        }
    }

    /// Waits for the recording and sums it up.
    pub(crate) fn finish(self) -> Result<Outcome> {
        let mut recording = match self.recording {
            Ok(recording) => recording,
            Err(why) => return Ok(Err(why)),
        };
        if !recording.wait()?.success() {
            return Ok(Err("perf may not sample here".into()));
        }
        let script = Command::new("perf")
            .args(["script", "--no-inline", "-F", "comm,ip,sym", "--input"])
            .arg(&self.data)
            .stderr(Stdio::null())
            .output()?;
        Ok(Ok(shares(&String::from_utf8_lossy(&script.stdout))))
    }
}

/// Samples are paragraphs: a line for the thread, then the functions from the innermost out.
fn shares(script: &str) -> Vec<(&'static str, f64)> {
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    let mut all = 0;
    for sample in script.split("\n\n").filter(|s| !s.trim().is_empty()) {
        let stage = sample.lines().skip(1).find_map(stage_of).unwrap_or(OTHER);
        all += 1;
        match counts.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, count)) => *count += 1,
            None => counts.push((stage, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let share = |(stage, count)| (stage, count as f64 / all as f64);
    counts.into_iter().map(share).collect()
}

fn stage_of(function: &str) -> Option<&'static str> {
    let in_stage = |part: &&str| function.contains(part) || function.contains(&mangled(part));
    let stage = STAGES.iter().find(|(_, parts)| parts.iter().any(in_stage));
    stage.map(|(stage, _)| *stage)
}

/// `ingest::wal` as compiled names spell it: each part after its length.
fn mangled(path: &str) -> String {
    let parts = path.split("::").filter(|part| !part.is_empty());
    parts.map(|part| format!("{}{part}", part.len())).collect()
}
