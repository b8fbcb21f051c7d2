//! What a client asserts about a table before its updates may be made.

use catalog::Result;
use iceberg::TableRequirement;
use lake::TableMetadata;

use crate::error::commit_failed;

/// Checks `requirement` of a table that exists; `Conflict` says what is otherwise.
pub(super) fn check(requirement: &TableRequirement, metadata: &TableMetadata) -> Result<()> {
    use TableRequirement as Is;
    match requirement {
        Is::NotExist => Err(commit_failed("Requirement failed: table already exists")),
        Is::UuidMatch { uuid } => same("UUID", &metadata.uuid(), uuid),
        Is::RefSnapshotIdMatch { r#ref, snapshot_id } => {
            let found = metadata.snapshot_for_ref(r#ref);
            let found = found.map(|snapshot| snapshot.snapshot_id());
            let show = |id: Option<i64>| id.map_or("none".to_owned(), |id| id.to_string());
            same(
                &format!("snapshot of ref {ref}"),
                &show(found),
                &show(*snapshot_id),
            )
        }
        Is::LastAssignedFieldIdMatch {
            last_assigned_field_id,
        } => same(
            "last assigned field id",
            &metadata.last_column_id(),
            last_assigned_field_id,
        ),
        Is::CurrentSchemaIdMatch { current_schema_id } => same(
            "current schema id",
            &metadata.current_schema_id(),
            current_schema_id,
        ),
        Is::LastAssignedPartitionIdMatch {
            last_assigned_partition_id,
        } => same(
            "last assigned partition id",
            &metadata.last_partition_id(),
            last_assigned_partition_id,
        ),
        Is::DefaultSpecIdMatch { default_spec_id } => same(
            "default partition spec id",
            &metadata.default_partition_spec_id(),
            default_spec_id,
        ),
        Is::DefaultSortOrderIdMatch {
            default_sort_order_id,
        } => same(
            "default sort order id",
            &metadata.default_sort_order_id(),
            default_sort_order_id,
        ),
    }
}

fn same<T: PartialEq + std::fmt::Display>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(commit_failed(format!(
        "Requirement failed: {what} has changed: expected {expected}, found {found}"
    )))
}
