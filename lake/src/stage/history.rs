//! Going back to an earlier snapshot of a table.

use catalog::{Error, Operation, Result};
use iceberg::spec::{
    MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata, TableMetadataBuilder,
};

use super::put;
use crate::error;
use crate::lake::Lake;
use crate::table::Table;

/// Snapshots that an error names.
const OFFERED: usize = 5;

impl Lake {
    /// Makes the snapshot `snapshot_id` of the table's metadata current again. Files,
    /// schema, partitioning and properties stay as they are.
    ///
    /// # Errors
    /// `NotFound` naming the newest snapshots when the metadata lacks this one,
    /// `InvalidInput` when it is the current one.
    pub async fn stage_rollback(&self, table: &Table, snapshot_id: i64) -> Result<Operation> {
        let metadata = table.metadata();
        if metadata.snapshot_by_id(snapshot_id).is_none() {
            return Err(no_snapshot(table, snapshot_id));
        }
        if metadata.current_snapshot_id() == Some(snapshot_id) {
            let message = format!("snapshot {snapshot_id} of {} is current", table.key());
            return Err(Error::invalid(message).with_hint("choose an earlier snapshot"));
        }
        let location = table.metadata_location();
        let rolled_back = rolled_back(metadata, location, snapshot_id)
            .map_err(error::iceberg("could not go back to the snapshot"))?;
        let staged = self.files().write_metadata(rolled_back, Some(location));
        Ok(put(table, staged.await?))
    }
}

fn rolled_back(
    metadata: &TableMetadata,
    location: &str,
    snapshot_id: i64,
) -> iceberg::Result<TableMetadata> {
    let retention = SnapshotRetention::Branch {
        min_snapshots_to_keep: None,
        max_snapshot_age_ms: None,
        max_ref_age_ms: None,
    };
    let main = SnapshotReference::new(snapshot_id, retention);
    TableMetadataBuilder::new_from_metadata(metadata.clone(), Some(location.to_owned()))
        .set_ref(MAIN_BRANCH, main)?
        .build()
        .map(|built| built.metadata)
}

fn no_snapshot(table: &Table, snapshot_id: i64) -> Error {
    let mut snapshots: Vec<_> = table.metadata().snapshots().collect();
    snapshots.sort_by_key(|snapshot| -snapshot.sequence_number());
    let newest = snapshots.iter().take(OFFERED);
    let newest: Vec<_> = newest.map(|s| s.snapshot_id().to_string()).collect();
    let message = format!("table {} has no snapshot {snapshot_id}", table.key());
    let error = Error::not_found(message);
    match newest.is_empty() {
        true => error.with_hint("it has no snapshots yet"),
        false => error.with_hint(format!(
            "its newest are {}; older ones are reached by way of the catalog's commits",
            newest.join(", ")
        )),
    }
}
