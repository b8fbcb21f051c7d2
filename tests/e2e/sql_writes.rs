//! SQL that writes, as real clients send it.

use crate::harness::{Site, python};

#[test]
fn adbc_writes_in_transactions_and_without() {
    let site = Site::new();
    let server = site.serve();
    python("flight_writes.py", &[server.address("flight")], "").ok();
}
