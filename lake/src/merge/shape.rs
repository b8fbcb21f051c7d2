//! The three-way merge of all that is not files: columns, partitioning, sort order,
//! properties, format version.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use iceberg::spec::{PartitionSpecRef, TableMetadata, TableMetadataBuilder, Transform};

use super::Sides;
use super::clash::{Clash, Outcome, pick};
use super::schema;

/// Ours with what theirs changed.
pub(super) struct Shaped {
    pub(super) metadata: TableMetadata,
    /// Whether that is anything else than ours.
    pub(super) changed: bool,
    /// Ids of the partition specs that theirs and their files use, to those here.
    specs: BTreeMap<i32, i32>,
}

impl Shaped {
    /// The id here of a partition spec of theirs.
    pub(super) fn spec(&self, theirs: i32) -> i32 {
        self.specs.get(&theirs).copied().unwrap_or(theirs)
    }
}

/// Merges; files that follow the partition specs `used` of theirs shall come in.
/// `previous` is the metadata file to note as the one before.
pub(super) fn merged(
    sides: &Sides<'_>,
    used: &BTreeSet<i32>,
    previous: Option<&str>,
) -> Outcome<Shaped> {
    let schema = schema::merged(sides)?;
    partition_ids_agree(sides)?;
    let mut builder =
        TableMetadataBuilder::new_from_metadata(sides.ours.clone(), previous.map(str::to_owned));
    let version = sides.theirs.format_version();
    if version > sides.ours.format_version() {
        builder = fits(builder.upgrade_format_version(version))?;
    }
    for schema in schema::lacking(sides, !used.is_empty()) {
        builder = fits(builder.add_schema(schema.clone()))?;
    }
    if let Some(schema) = schema {
        builder = fits(builder.add_current_schema(schema))?;
    }
    for spec in lacking(sides, used) {
        builder = fits(builder.add_partition_spec(spec.as_ref().clone().into_unbound()))?;
    }
    builder = partitioning(sides, builder)?;
    builder = sort_order(sides, builder)?;
    let built = fits(properties(sides, builder)?.build())?;
    let changed = !built.changes.is_empty();
    let metadata = match changed {
        true => built.metadata,
        false => sides.ours.clone(),
    };
    Ok(Shaped {
        specs: used_here(sides, used, &metadata),
        metadata,
        changed,
    })
}

/// What Iceberg refuses here are two changes that are each fine alone.
fn fits<T>(result: iceberg::Result<T>) -> Outcome<T> {
    result.map_err(|e| Clash::new(format!("which does not go together: {}", e.message())))
}

/// Partition values are stored under the ids of their partition fields, which therefore
/// must mean the same on both sides.
fn partition_ids_agree(sides: &Sides<'_>) -> Outcome<()> {
    let (ours, theirs) = (partition_fields(sides.ours), partition_fields(sides.theirs));
    for (id, ours) in ours {
        if theirs.get(&id).is_some_and(|theirs| *theirs != ours) {
            return Err(Clash::new("both sides changed the partitioning"));
        }
    }
    Ok(())
}

fn partition_fields(metadata: &TableMetadata) -> BTreeMap<i32, (i32, Transform)> {
    let fields = metadata
        .partition_specs_iter()
        .flat_map(|spec| spec.fields());
    // In version 1 a dropped field stays as void.
    let fields = fields.filter(|field| field.transform != Transform::Void);
    fields
        .map(|field| (field.field_id, (field.source_id, field.transform)))
        .collect()
}

/// The used specs of theirs that ours lacks.
fn lacking<'a>(
    sides: &'a Sides<'_>,
    used: &'a BTreeSet<i32>,
) -> impl Iterator<Item = &'a PartitionSpecRef> {
    let used = used.iter();
    let specs = used.filter_map(|id| sides.theirs.partition_spec_by_id(*id));
    specs.filter(|spec| {
        let mut ours = sides.ours.partition_specs_iter();
        !ours.any(|ours| ours.is_compatible_with(spec))
    })
}

fn used_here(
    sides: &Sides<'_>,
    used: &BTreeSet<i32>,
    metadata: &TableMetadata,
) -> BTreeMap<i32, i32> {
    let mut here = BTreeMap::new();
    for spec in used
        .iter()
        .filter_map(|id| sides.theirs.partition_spec_by_id(*id))
    {
        let mut specs = metadata.partition_specs_iter();
        if let Some(same) = specs.find(|other| other.is_compatible_with(spec)) {
            here.insert(spec.spec_id(), same.spec_id());
        }
    }
    here
}

fn partitioning(sides: &Sides<'_>, builder: TableMetadataBuilder) -> Outcome<TableMetadataBuilder> {
    let [base, ours, theirs] = sides.each(TableMetadata::default_partition_spec);
    if theirs.is_compatible_with(base) || theirs.is_compatible_with(ours) {
        return Ok(builder);
    }
    if !ours.is_compatible_with(base) {
        return Err(Clash::new("both sides changed the partitioning"));
    }
    fits(builder.add_default_partition_spec(theirs.as_ref().clone().into_unbound()))
}

fn sort_order(sides: &Sides<'_>, builder: TableMetadataBuilder) -> Outcome<TableMetadataBuilder> {
    let orders = sides.each(TableMetadata::default_sort_order);
    let [base, ours, theirs] = orders.map(|order| &order.fields);
    let fields = pick([base, ours, theirs])
        .ok_or_else(|| Clash::new("both sides changed the sort order"))?;
    if fields == ours {
        return Ok(builder);
    }
    let order = sides.theirs.default_sort_order().as_ref().clone();
    let builder = fits(builder.add_sort_order(order))?;
    // -1 names the order just added.
    fits(builder.set_default_sort_order(-1))
}

fn properties(sides: &Sides<'_>, builder: TableMetadataBuilder) -> Outcome<TableMetadataBuilder> {
    let [base, ours, theirs] = sides.each(TableMetadata::properties);
    let (set, removed) = changed_properties(base, ours, theirs)?;
    fits(
        builder
            .set_properties(set)
            .and_then(|builder| match removed.is_empty() {
                true => Ok(builder),
                false => builder.remove_properties(&removed),
            }),
    )
}

/// What of `theirs` is to be set and removed in `ours`.
pub(super) fn changed_properties(
    base: &HashMap<String, String>,
    ours: &HashMap<String, String>,
    theirs: &HashMap<String, String>,
) -> Outcome<(HashMap<String, String>, Vec<String>)> {
    let (mut set, mut removed) = (HashMap::new(), Vec::new());
    let names: BTreeSet<&String> = base.keys().chain(theirs.keys()).collect();
    for name in names {
        let picked = pick([base.get(name), ours.get(name), theirs.get(name)])
            .ok_or_else(|| Clash::new(format!("both sides changed property {name}")))?;
        if picked == ours.get(name) {
            continue;
        }
        match picked {
            Some(value) => {
                set.insert(name.clone(), value.clone());
            }
            None => removed.push(name.clone()),
        }
    }
    Ok((set, removed))
}
