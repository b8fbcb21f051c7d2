//! Snapshots that clients add, and the files that these name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catalog::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};
use iceberg::TableUpdate;
use iceberg::spec::Snapshot;
use lake::{Lake, TableMetadata};

use crate::error::commit_failed;

/// How far a client's clock may be ahead of this machine's. Nothing can be committed to a
/// table before the time of its last snapshot.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Manifest lists read at once.
const PARALLEL_READS: usize = 16;

/// A snapshot must come right after the table's last one. An older number means that the
/// client has not seen another commit.
pub(super) fn check_sequence(snapshot: &Snapshot, last: i64) -> Result<()> {
    let number = snapshot.sequence_number();
    if number <= last {
        return Err(commit_failed(format!(
            "Validation failed, please retry: cannot add snapshot with sequence number {number}, \
             which is not after the table's last sequence number {last}"
        )));
    }
    if number > last + 1 {
        return Err(Error::invalid(format!(
            "cannot add snapshot with sequence number {number}: the table's next is {}",
            last + 1
        )));
    }
    Ok(())
}

/// What must hold of a snapshot apart from the files it names.
pub(super) fn check(lake: &Lake, snapshot: &Snapshot) -> Result<()> {
    let id = snapshot.snapshot_id();
    if id <= 0 {
        // Engines take -1 for none.
        return Err(Error::invalid(format!(
            "{id} is no snapshot id: it must be 1 or more"
        )));
    }
    lake.store().path(snapshot.manifest_list())?;
    check_time(snapshot.timestamp_ms())
}

/// Refuses a time, in milliseconds since 1970, that is yet to come.
pub(crate) fn check_time(time: i64) -> Result<()> {
    let latest = SystemTime::now() + CLOCK_SKEW;
    let latest = latest.duration_since(UNIX_EPOCH).unwrap_or_default();
    match u128::try_from(time) {
        Ok(time) if time <= latest.as_millis() => Ok(()),
        Ok(_) => {
            let error = Error::invalid(format!("the time {time} ms is in the future"));
            Err(error.with_hint("set the clocks of the client and of the server"))
        }
        Err(_) => Err(Error::invalid(format!("the time {time} ms is before 1970"))),
    }
}

/// Reads the manifest lists of the snapshots that `updates` add: a table whose list is
/// missing or names files elsewhere could not be read by anybody.
pub(super) async fn check_added(lake: &Lake, updates: &[TableUpdate]) -> Result<()> {
    let added = updates.iter().filter_map(|update| match update {
        TableUpdate::AddSnapshot { snapshot } => Some(snapshot),
        _ => None,
    });
    check_lists(lake, added.map(Snapshot::manifest_list)).await
}

/// The same of all snapshots in `metadata`.
pub(super) async fn check_all(lake: &Lake, metadata: &TableMetadata) -> Result<()> {
    let lists = metadata.snapshots().map(|one| one.manifest_list());
    check_lists(lake, lists).await
}

async fn check_lists(lake: &Lake, lists: impl Iterator<Item = &str>) -> Result<()> {
    let checks: Vec<_> = lists.map(|list| check_list(lake, list)).collect();
    futures::stream::iter(checks)
        .buffered(PARALLEL_READS)
        .try_collect()
        .await
}

async fn check_list(lake: &Lake, location: &str) -> Result<()> {
    let manifests = lake.read_manifest_list(location).await.map_err(|e| {
        let doing = format!("the manifest list {location} of a snapshot");
        of_client(e, &doing)
    })?;
    for manifest in manifests.iter() {
        let path = lake.store().path(&manifest.manifest_path);
        path.map_err(|e| e.context(format!("the manifest list {location}")))?;
    }
    Ok(())
}

/// An error of reading what a client names: the client's, unless the store is in trouble.
pub(super) fn of_client(error: Error, doing: &str) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => error,
        _ if error.is_retryable() => error,
        _ => Error::invalid(format!("{doing}: {}", error.message())).with_source(error),
    }
}
