//! A wrong statement is answered with what is wrong, by the command line and over ADBC.

use crate::harness::{Site, python};

#[test]
fn the_command_line_says_what_is_wrong_with_a_statement() {
    let site = Site::new();
    let server = site.serve();
    let url = format!("http://{}", server.address("flight"));
    for place in [vec!["--server", &url], vec!["--local"]] {
        let ask = |sql| site.pumphouse(&[&["sql"], &place[..], &[sql]].concat());
        ask("selec 1").refused("invalid-input", &["selec"]);
        ask("select nothing from (select 1 as one)").refused("invalid-input", &["nothing", "one"]);
        ask("select * from nowhere.at_all").refused("not-found", &["at_all", "nowhere"]);
        ask("select * from nobranch.pumps.telemetry").refused("not-found", &["nobranch"]);
        ask("copy (select 1) to '/tmp/x.csv'").refused("unsupported", &["COPY"]);
        ask("create external table x stored as csv location '/etc/passwd'")
            .refused("unsupported", &["docs/sql.md"]);
        ask("set datafusion.execution.batch_size = 1").refused("unsupported", &["USE"]);
        assert!(ask("select 40 + 2").ok().contains("42"));
    }
}

#[test]
fn a_client_gets_a_status_and_keeps_its_connection() {
    let site = Site::new();
    let server = site.serve();
    python("sql_error.py", &[server.address("flight")], "").ok();
}

#[test]
fn sql_without_a_server_says_so() {
    let site = Site::new();
    let url = format!("http://127.0.0.1:{}", crate::harness::free_port());
    site.pumphouse(&["sql", "--server", &url, "select 1"])
        .refused("unavailable", &["--local"]);
}
