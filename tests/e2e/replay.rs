//! The main promise: what is published is what is read, value for value.

use std::path::PathBuf;

use crate::harness::{Ceph, Mosquitto, Server, Site, python, run, skab};
use crate::iceberg;

pub(crate) const COUNT: &str = "select count(*) as n from rigs.telemetry";

#[test]
fn replayed_rows_come_back_value_for_value_from_a_folder() {
    let broker = Mosquitto::start();
    let site = Site::new().behind(&broker).stream(skab::STREAM);
    replay_and_compare(&site, &broker, &skab::files(site.folder()));
}

#[test]
fn numbers_with_seventeen_digits_come_back_value_for_value() {
    let broker = Mosquitto::start();
    let site = Site::new().behind(&broker).stream(skab::STREAM);
    replay_and_compare(&site, &broker, &skab::made(site.folder()));
}

#[test]
fn replayed_rows_come_back_value_for_value_from_ceph() {
    let ceph = Ceph::shared();
    let broker = Mosquitto::start();
    let site = Site::new()
        .on_ceph(&ceph, "replay")
        .behind(&broker)
        .stream(skab::STREAM);
    replay_and_compare(&site, &broker, &skab::files(site.folder()));
    let newest = [iceberg::commits(&site).pop().unwrap()];
    let server = site.serve();
    iceberg::compare(&server, &newest, &iceberg::s3_properties(&ceph));
}

/// Regression: a session keeps its old filter, and the broker sent each message once for either.
#[test]
fn a_wider_filter_for_an_old_session_doubles_nothing() {
    let broker = Mosquitto::start();
    let site = Site::new().behind(&broker).stream(skab::STREAM);
    site.serve().stop();
    let site = site.behind_subscribed(&broker, "rigs/#");
    let server = site.serve();
    let files = &skab::files(site.folder())[..1];
    run(&mut site.replay(&broker.url(), skab::TOPIC, files)).ok();
    server.wait_for_count(COUNT, skab::row_count(files));
    server.stop();
    compare(&site.serve(), files);
}

fn replay_and_compare(site: &Site, broker: &Mosquitto, files: &[PathBuf]) {
    let server = site.serve();
    broker.wait_for_subscription(skab::FILTER);
    run(&mut site.replay(&broker.url(), skab::TOPIC, files)).ok();
    server.wait_for_count(COUNT, skab::row_count(files));
    // Some of the rows are in the hot buffer now, after the restart none.
    compare(&server, files);
    server.stop();
    compare(&site.serve(), files);
}

/// Compares `rigs.telemetry` with the files over ADBC.
pub(crate) fn compare(server: &Server, files: &[PathBuf]) {
    let files = files.iter().map(|file| file.to_str().unwrap());
    let args: Vec<_> = [server.address("flight"), "rigs.telemetry"]
        .into_iter()
        .chain(files)
        .collect();
    println!("{}", python("compare_rows.py", &args, "").ok());
}
