//! The three-way merge of fields, each known by its id, and of what is nested in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use iceberg::spec::{ListType, MapType, NestedField, NestedFieldRef, StructType, Type};

use super::clash::{Clash, Outcome, pick};

/// The fields of one struct: those of base, ours and theirs.
pub(super) fn fields(sides: [&[NestedFieldRef]; 3]) -> Outcome<Vec<NestedFieldRef>> {
    let of = |fields: &[NestedFieldRef], id| fields.iter().find(|field| field.id == id).cloned();
    let [_, ours, theirs] = sides;
    let new = theirs.iter().filter(|field| of(ours, field.id).is_none());
    let mut merged = Vec::new();
    for known in ours.iter().chain(new) {
        let all = sides.map(|fields| of(fields, known.id));
        match pick(all.clone()) {
            Some(picked) => merged.extend(picked),
            None => merged.push(Arc::new(field(all, &known.name)?)),
        }
    }
    distinct(&merged)?;
    Ok(merged)
}

/// A field that all sides have otherwise: each may have changed another part of it.
fn field(sides: [Option<NestedFieldRef>; 3], name: &str) -> Outcome<NestedField> {
    let clash = || Clash::new(format!("both sides changed column {name}"));
    let [base, Some(ours), Some(theirs)] = sides else {
        return Err(clash());
    };
    let sides = [base.as_deref(), Some(&*ours), Some(&*theirs)];
    let mut merged = ours.as_ref().clone();
    merged.name = part(sides, |side| side.name.clone()).ok_or_else(clash)?;
    merged.required = part(sides, |side| side.required).ok_or_else(clash)?;
    merged.doc = part(sides, |side| side.doc.clone()).ok_or_else(clash)?;
    merged.initial_default = part(sides, |side| side.initial_default.clone()).ok_or_else(clash)?;
    merged.write_default = part(sides, |side| side.write_default.clone()).ok_or_else(clash)?;
    let base = base.as_ref().map(|base| base.field_type.as_ref());
    *merged.field_type = kind(base, [&ours.field_type, &theirs.field_type], &clash)?;
    Ok(merged)
}

/// What of one part of a field shall stand; none when both sides changed it.
fn part<T: PartialEq>(
    sides: [Option<&NestedField>; 3],
    of: impl Fn(&NestedField) -> T,
) -> Option<T> {
    pick(sides.map(|side| side.map(&of))).flatten()
}

fn kind(base: Option<&Type>, sides: [&Type; 2], clash: &dyn Fn() -> Clash) -> Outcome<Type> {
    let [ours, theirs] = sides;
    if let Some(picked) = pick([base, Some(ours), Some(theirs)]).flatten() {
        return Ok(picked.clone());
    }
    match (base, ours, theirs) {
        (base, Type::Struct(ours), Type::Struct(theirs)) => {
            let base = match base {
                Some(Type::Struct(base)) => base.fields(),
                _ => &[],
            };
            let fields = fields([base, ours.fields(), theirs.fields()])?;
            Ok(Type::Struct(StructType::new(fields)))
        }
        (Some(Type::List(base)), Type::List(ours), Type::List(theirs)) => {
            let sides = [base, ours, theirs].map(|list| Some(Arc::clone(&list.element_field)));
            let element = within(sides)?;
            Ok(Type::List(ListType::new(element)))
        }
        (Some(Type::Map(base)), Type::Map(ours), Type::Map(theirs)) => {
            let maps = [base, ours, theirs];
            let key = within(maps.map(|map| Some(Arc::clone(&map.key_field))))?;
            let value = within(maps.map(|map| Some(Arc::clone(&map.value_field))))?;
            Ok(Type::Map(MapType::new(key, value)))
        }
        _ => Err(clash()),
    }
}

/// A list's element or a map's value.
fn within(sides: [Option<NestedFieldRef>; 3]) -> Outcome<NestedFieldRef> {
    match pick(sides.clone()).flatten() {
        Some(picked) => Ok(picked),
        None => field(sides, "element").map(Arc::new),
    }
}

/// Engines that fold case could not tell columns apart that differ in nothing else.
fn distinct(fields: &[NestedFieldRef]) -> Outcome<()> {
    let mut seen = BTreeSet::new();
    for field in fields {
        if !seen.insert(field.name.to_lowercase()) {
            let reason = format!(
                "both sides have a column of their own called {}",
                field.name
            );
            return Err(Clash::new(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use iceberg::spec::PrimitiveType;

    use super::*;

    fn plain(id: i32, name: &str, kind: PrimitiveType) -> NestedFieldRef {
        Arc::new(NestedField::optional(id, name, Type::Primitive(kind)))
    }

    fn holding(id: i32, name: &str, fields: Vec<NestedFieldRef>) -> NestedFieldRef {
        let kind = Type::Struct(StructType::new(fields));
        Arc::new(NestedField::optional(id, name, kind))
    }

    fn merge(base: NestedFieldRef, ours: NestedFieldRef, theirs: NestedFieldRef) -> Outcome<Type> {
        let merged = fields([&[base], &[ours], &[theirs]])?;
        assert_eq!(merged.len(), 1);
        Ok(merged[0].field_type.as_ref().clone())
    }

    #[test]
    fn each_side_may_change_another_field_of_a_struct() {
        use PrimitiveType::{Int, Long, String};
        let base = || vec![plain(2, "temp", Int), plain(3, "rpm", Int)];
        let ours = vec![
            plain(2, "temp", Long),
            plain(3, "rpm", Int),
            plain(4, "x", Int),
        ];
        let theirs = vec![
            plain(3, "speed", Int),
            plain(2, "temp", Int),
            plain(4, "x", Int),
        ];
        let of = |fields| holding(1, "motor", fields);
        let merged = merge(of(base()), of(ours.clone()), of(theirs)).unwrap();
        let expected = vec![
            plain(2, "temp", Long),
            plain(3, "speed", Int),
            plain(4, "x", Int),
        ];
        assert_eq!(merged, Type::Struct(StructType::new(expected)));
        let clashing = vec![plain(2, "temp", String), plain(3, "rpm", Int)];
        let clash = merge(of(base()), of(ours), of(clashing)).unwrap_err();
        assert!(clash.0.contains("temp"), "{clash:?}");
    }

    #[test]
    fn elements_of_lists_merge_like_structs_and_names_stay_apart() {
        let list = |name: &str, fields| {
            let element = Type::Struct(StructType::new(fields));
            let element = NestedField::list_element(2, element, false);
            let kind = Type::List(ListType::new(Arc::new(element)));
            Arc::new(NestedField::optional(1, name, kind))
        };
        let int = |id, name| plain(id, name, PrimitiveType::Int);
        let merged = merge(
            list("l", vec![int(3, "a")]),
            list("l", vec![int(3, "b")]),
            list("l", vec![int(3, "a"), int(4, "c")]),
        );
        let Type::List(merged) = merged.unwrap() else {
            panic!("a list stays one");
        };
        let expected = Type::Struct(StructType::new(vec![int(3, "b"), int(4, "c")]));
        assert_eq!(*merged.element_field.field_type, expected);
        let clash = merge(
            list("l", vec![int(3, "a")]),
            list("l", vec![int(3, "C")]),
            list("l", vec![int(3, "a"), int(4, "c")]),
        );
        assert!(clash.is_err());
    }
}
