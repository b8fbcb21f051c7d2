//! The three-way merge of a table's columns, by field id.
//!
//! A column changed on one side is taken; changed alike on both, it is fine. Columns that
//! both sides added carry the same field id, under which each side's files hold their
//! values: unless they are one and the same column, they cannot live in one table.

use std::collections::{BTreeMap, BTreeSet};

use iceberg::spec::{NestedField, Schema, TableMetadata, Type};

use super::Sides;
use super::clash::{Clash, Outcome, pick};
use super::nested;

/// The schema to come; none when ours is already it.
pub(super) fn merged(sides: &Sides<'_>) -> Outcome<Option<Schema>> {
    field_ids_agree(sides)?;
    let [base, ours, theirs] = sides.each(TableMetadata::current_schema);
    if same(base, theirs) || same(ours, theirs) {
        return Ok(None);
    }
    if same(base, ours) {
        return Ok(Some(theirs.as_ref().clone()));
    }
    let all = [base, ours, theirs].map(|schema| schema.as_struct().fields());
    let fields = nested::fields(all)?;
    let identifiers = pick([base, ours, theirs].map(|schema| identifiers(schema)))
        .ok_or_else(|| Clash::new("both sides changed the identifier columns"))?;
    let schema = Schema::builder()
        .with_schema_id(ours.schema_id())
        .with_identifier_field_ids(identifiers)
        .with_fields(fields)
        .build();
    let schema = schema.map_err(|e| {
        Clash::new(format!(
            "the columns of both sides do not go together: {}",
            e.message()
        ))
    })?;
    Ok((!same(ours, &schema)).then_some(schema))
}

fn same(a: &Schema, b: &Schema) -> bool {
    a.as_struct() == b.as_struct() && identifiers(a) == identifiers(b)
}

fn identifiers(schema: &Schema) -> BTreeSet<i32> {
    schema.identifier_field_ids().collect()
}

/// The schemas of theirs that ours must know from now on, oldest first: the ids of columns
/// that theirs added and dropped again may be in its files, and must not be given out anew.
/// `with_files` says that files of theirs come in.
pub(super) fn lacking<'a>(sides: &Sides<'a>, with_files: bool) -> Vec<&'a Schema> {
    let lacks = |metadata: &TableMetadata, schema: &Schema| {
        !metadata.schemas_iter().any(|other| same(other, schema))
    };
    let schemas = sides.theirs.schemas_iter().map(AsRef::as_ref);
    let mut lacking: Vec<&Schema> = schemas
        .filter(|schema| lacks(sides.ours, schema))
        .filter(|schema| with_files || lacks(sides.base, schema))
        .collect();
    lacking.sort_by_key(|schema| schema.schema_id());
    lacking
}

/// Files of theirs that hold the columns `ids` come into a table of `merged` columns. A
/// column that either side has dropped is nobody's loss there; one that theirs has and
/// ours never had would silently vanish.
pub(super) fn columns_arrive(
    sides: &Sides<'_>,
    merged: &TableMetadata,
    ids: &BTreeSet<i32>,
) -> Outcome<()> {
    let had = |id| {
        let mut schemas = sides.ours.schemas_iter();
        schemas.any(|schema| schema.field_by_id(id).is_some())
    };
    let here = |id| merged.current_schema().field_by_id(id).is_some();
    let there = |id| sides.theirs.current_schema().name_by_field_id(id);
    let lost = ids.iter().filter(|id| !here(**id) && !had(**id));
    let names: Vec<&str> = lost.filter_map(|id| there(*id)).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Clash::new(format!(
            "its files hold columns that the other side lacks: {}; bring those there first",
            names.join(", ")
        ))),
    }
}

/// Every field id must mean the same column on both sides, in whatever schema of their
/// past: a file written then still holds its values under that id.
fn field_ids_agree(sides: &Sides<'_>) -> Outcome<()> {
    let (ours, theirs) = (definitions(sides.ours), definitions(sides.theirs));
    for (id, ours) in &ours {
        let Some(theirs) = theirs.get(id) else {
            continue;
        };
        if ours.is_disjoint(theirs) {
            let one = |set: &BTreeSet<String>| set.first().cloned().unwrap_or_default();
            return Err(Clash::new(format!(
                "both sides added a column, {} and {}, under one field id",
                one(ours),
                one(theirs)
            )));
        }
    }
    Ok(())
}

/// By field id, what the column was called and held in any schema.
fn definitions(metadata: &TableMetadata) -> BTreeMap<i32, BTreeSet<String>> {
    let mut definitions: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
    for schema in metadata.schemas_iter() {
        for (id, field) in schema.field_id_to_fields() {
            let definition = definition(field);
            definitions.entry(*id).or_default().insert(definition);
        }
    }
    definitions
}

/// What holds other fields is known by its kind: each of those has a definition of its own.
fn definition(field: &NestedField) -> String {
    let name = &field.name;
    match field.field_type.as_ref() {
        Type::Primitive(kind) => format!("{name} {kind}"),
        Type::Struct(_) => format!("{name} struct"),
        Type::List(_) => format!("{name} list"),
        Type::Map(_) => format!("{name} map"),
    }
}
