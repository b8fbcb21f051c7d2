//! End-to-end tests: the real binary with real brokers, object stores and clients.
//!
//! Every test starts the servers it needs on free ports, in a folder of its own, and
//! kills them when it ends. `make setup-test` installs what they need.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod harness;

mod bad_messages;
mod bad_surroundings;
mod branches;
mod compose;
mod crash;
mod dataset;
mod deadletters;
mod demo;
mod disk_full;
mod doors;
mod embedded_broker;
mod gc;
mod history;
mod iceberg;
mod kill_loop;
mod live_streams;
mod load;
mod maintain;
mod many_writers;
mod models;
mod plant;
mod predict;
mod replay;
mod rest;
mod scoring;
mod shared_ingest;
mod sql_errors;
mod sql_writes;
mod versions;
