//! Metric names to column names.
//!
//! A metric's column is its name in lower case, with `_` for every character that is no letter,
//! digit or `_`, and before a leading digit: `Motor 1/Temp` becomes `motor_1_temp`. Where two
//! metrics of one birth certificate, or a metric and a column that every row has, would come to
//! the same, the name that needed no change keeps it and the others get `_` and eight hex digits
//! of their checksum: which column a metric has so depends on its birth certificate alone.

use std::collections::{HashMap, HashSet};

/// Columns that every row has, beside the time.
pub(super) const GROUP: &str = "group_id";
pub(super) const NODE: &str = "edge_node";
pub(in crate::decode) const DEVICE: &str = "device";
pub(super) const ONLINE: &str = "online";
pub(super) const SEQ: &str = "seq";

/// The columns of metrics of one birth certificate, in order; `time` is the time column.
pub(super) fn columns(names: &[&str], time: &str) -> Vec<String> {
    let plain: Vec<String> = names.iter().map(|name| readable(name)).collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for column in &plain {
        *uses.entry(column).or_default() += 1;
    }
    let keeps = |name: &str, column: &str| {
        !is_taken(column, time) && (uses.get(column) == Some(&1) || name == column)
    };
    let both = || names.iter().zip(&plain);
    let mut taken: HashSet<String> = both()
        .filter(|(name, column)| keeps(name, column))
        .map(|(_, column)| column.clone())
        .collect();
    both()
        .map(|(name, column)| match keeps(name, column) {
            true => column.clone(),
            false => {
                let other = marked(name, column, |other| !taken.contains(other));
                taken.insert(other.clone());
                other
            }
        })
        .collect()
}

/// The column of a metric that the birth certificate with those columns does not name.
pub(super) fn column_beside(name: &str, time: &str, known: &HashSet<String>) -> String {
    let column = readable(name);
    match is_taken(&column, time) || known.contains(&column) {
        false => column,
        true => marked(name, &column, |other| !known.contains(other)),
    }
}

fn is_taken(column: &str, time: &str) -> bool {
    [GROUP, NODE, DEVICE, ONLINE, SEQ, time].contains(&column)
}

fn readable(name: &str) -> String {
    let kept = |c: char| match c.is_alphanumeric() || c == '_' {
        true => c,
        false => '_',
    };
    let digit = name.starts_with(|c: char| c.is_numeric()) || name.is_empty();
    let start = if digit { "_" } else { "" };
    let letters = name.chars().map(kept).flat_map(char::to_lowercase);
    start.chars().chain(letters).collect()
}

fn marked(name: &str, column: &str, is_free: impl Fn(&str) -> bool) -> String {
    let mut marked = format!("{column}_{:08x}", crc32fast::hash(name.as_bytes()));
    while !is_free(&marked) {
        marked.push('_');
    }
    marked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_columns() {
        let names = [
            "Motor 1/Temp",
            "bdSeq",
            "Node Control/Rebirth",
            "2nd",
            "überlauf",
            "",
        ];
        let expected = [
            "motor_1_temp",
            "bdseq",
            "node_control_rebirth",
            "_2nd",
            "überlauf",
            "_",
        ];
        assert_eq!(columns(&names, "ts"), expected);
    }

    #[test]
    fn names_that_come_to_the_same_are_told_apart() {
        let found = columns(&["a/b", "a_b", "A B", "Device", "ts", "c"], "ts");
        assert_eq!((found[1].as_str(), found[5].as_str()), ("a_b", "c"));
        assert!(found[0].starts_with("a_b_") && found[2].starts_with("a_b_"));
        assert!(found[3].starts_with("device_") && found[4].starts_with("ts_"));
        let known: HashSet<String> = found.iter().cloned().collect();
        assert_eq!(known.len(), found.len());
        assert_eq!(column_beside("new", "ts", &known), "new");
        assert!(!known.contains(&column_beside("A_b", "ts", &known)));
    }

    proptest! {
        #[test]
        fn no_two_metrics_share_a_column(names in prop::collection::hash_set("[aA/_ 1]{0,3}", 0..20)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = columns(&names, "ts");
            let distinct: HashSet<String> = found.iter().map(|c| c.to_lowercase()).collect();
            prop_assert_eq!(distinct.len(), names.len());
        }
    }
}
