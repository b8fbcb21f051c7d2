//! A disk that is full: acknowledgements stop, the health page says why, and all goes on by itself
//! when there is space again.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Publishers, Server, Site, free_port, wait_for};
use crate::kill_loop::{PUBLISHERS, check, stream, topic};

/// A file system of its own, small enough to fill; gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(&at)
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "this test mounts a small file system: run it as root, or in `unshare --map-root-user --mount`"
        );
        Self(at)
    }

    /// Takes all space there is.
    fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let mut filler = std::fs::File::create(&file).unwrap();
        std::io::copy(&mut &zeros, &mut filler).unwrap_err();
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may not have ended when the test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn wait_until_stalled(server: &Server) {
    wait_for("the health page to say that the disk is full", || {
        let page = server.health("/health");
        let reason = page.body["parts"]["ingest"]["reason"].to_string();
        let told = page.body["status"] == "degraded" && reason.contains("No space left");
        told.then_some(()).ok_or_else(|| page.body.to_string())
    });
}

fn wait_for_more(publishers: &Publishers) {
    let before = publishers.acked();
    wait_for("acknowledgements", || {
        let acked = publishers.acked();
        (acked > before + 1_000)
            .then_some(())
            .ok_or_else(|| acked.to_string())
    });
}

/// Peak memory in bytes.
fn peak_memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn fills(disk: impl Fn(&Site) -> PathBuf, stops_acknowledging: bool) {
    let port = free_port();
    let site = Site::new()
        .mqtt_port(port)
        .stream(&stream(""))
        .ingest("flush_interval = \"200ms\"\nsegment_bytes = \"1MiB\"\nbuffer_bytes = \"16MiB\"\nlog_bytes = \"32MiB\"");
    let disk = SmallDisk::mount(disk(&site), "200m");
    let mut server = site.serve();
    let publishers = Publishers::start(PUBLISHERS, port, topic);
    wait_for_more(&publishers);
    for round in 0..3 {
        let filler = disk.fill();
        if stops_acknowledging {
            wait_until_stalled(&server);
            assert_eq!(server.health("/health").status, 200);
            // A flush under way may make room for a moment.
            wait_for("the server to say that it takes nothing", || {
                match server.health("/health/ready").status {
                    503 => Ok(()),
                    status => Err(status.to_string()),
                }
            });
        } else {
            wait_for("the log to fill behind a full lake", || {
                let page = server.health("/health").body;
                let reason = page["parts"]["ingest"]["reason"].to_string();
                reason
                    .contains("the log is full")
                    .then_some(())
                    .ok_or(reason)
            });
        }
        if round == 1 {
            // It may die meanwhile, too.
            server.kill();
            server = Server::launch(&site);
            std::thread::sleep(Duration::from_millis(500));
        }
        std::fs::remove_file(filler).unwrap();
        wait_for_more(&publishers);
        if round == 1 {
            server.wait_until_ready();
        }
    }
    let peak = peak_memory(&server);
    let sent = publishers.finish();
    check(&server, &sent);
    assert!(peak < 1 << 30, "{peak} bytes of memory");
    assert_eq!(server.health("/health/ready").status, 200);
    server.stop();
    check(&site.serve(), &sent);
}

#[test]
fn a_full_disk_under_the_log_stops_acknowledgements_and_loses_nothing() {
    fills(|site| site.path("node"), true);
}

#[test]
fn a_full_disk_under_the_lake_fills_the_log_and_loses_nothing() {
    fills(|site| site.lake(), false);
}
