//! Rows scored as they arrive over MQTT, through a kill: each once, none left out.

use std::time::Instant;

use crate::harness::{Server, Site, wait_for};
use crate::predict::{simulate, site, train, wait_for_commit};

const ROWS: &str = "select count(*) as n from pumps.telemetry";
const SCORED: &str = "select count(*) as n from ml.predictions where role = 'champion'";
const SCORE: &str = r#"[[ml.score]]
model = "ml.warmth"
entity = ["site", "pump"]
every = "200ms"
shadow = "ml.warmth@exp"
"#;

/// Waits until the scorer has said in the history where it begins.
fn wait_for_the_first_look(site: &Site) {
    wait_for("the scoring to begin", || {
        let log = site.pumphouse(&["log", "-n", "50"]).stdout;
        match log.contains("begin to score with ml.warmth") {
            true => Ok(()),
            false => Err(log),
        }
    });
}

fn count(server: &Server, sql: &str) -> u64 {
    let rows = server.sql(sql).unwrap();
    rows[0]["n"].as_u64().unwrap()
}

#[test]
fn arriving_rows_are_scored_at_once_and_once_through_a_kill() {
    let site = site().section(SCORE);
    let server = site.serve();
    simulate(&site, &server, "2026-03-01T00:00:00Z", 1200);
    wait_for_commit(&server, 1200);
    train(&site, "main", 4);
    wait_for_the_first_look(&site);
    site.pumphouse(&["branch", "create", "exp"]).ok();
    // Of what was there, the last minute is scored too, being no older than rows may be late.
    let late = "select count(*) as n from pumps.telemetry
        where ts > (select max(ts) from pumps.telemetry where ts < '2026-03-01T12:00:00Z')
            - interval '1 minute'";
    server.wait_for_count(SCORED, count(&server, late));

    let sent = Instant::now();
    simulate(&site, &server, "2026-03-02T00:00:00Z", 6);
    server.wait_for_count(ROWS, 1200 + 6);
    server.wait_for_count(SCORED, count(&server, late));
    println!("scored {:?} after the first row was sent", sent.elapsed());

    // Killed with rows acknowledged that it has not scored, or has scored and not told.
    simulate(&site, &server, "2026-03-02T00:00:01Z", 300);
    server.kill();
    let server = site.serve();
    simulate(&site, &server, "2026-03-02T00:00:51Z", 300);
    server.wait_for_count(ROWS, 1200 + 6 + 600);
    server.wait_for_count(SCORED, count(&server, late));
    let distinct = "select count(distinct id) as n from ml.predictions
        where role = 'champion'";
    assert_eq!(count(&server, distinct), count(&server, SCORED));
    let left_out = "select count(*) as n from pumps.telemetry t
        left join (select * from ml.predictions where role = 'champion') p
        on p.event_time = t.ts and p.entity = concat(t.site, '/', t.pump)
        where t.ts >= '2026-03-02T00:00:00Z' and p.id is null";
    assert_eq!(count(&server, left_out), 0);
    let metric = "pumphouse_score_failing{model=\"ml.warmth\"}";
    assert_eq!(server.metric(metric).unwrap(), 0);
}
