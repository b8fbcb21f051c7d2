//! Random work on two branches and merges between them, against multisets of rows.
//!
//! The oracle knows no rules of merging: after a merge the target holds its own rows, and
//! those the source gained since both parted, less those it lost. And a merge is only
//! refused where both sides did more than append, unless they did the same, or both
//! changed columns.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use catalog::MergeOutcome;
use proptest::prelude::*;

use crate::branching::{
    add_column, alter, append, at, compact, merge, rewrite, rows, truncate, two_branches,
};

#[derive(Clone, Debug)]
enum Step {
    Append,
    /// Of the nth row's file.
    Delete(usize),
    /// Of two neighbours' files.
    Compact(usize),
    /// All rows go, and a new one may come.
    Reload(bool),
    AddColumn,
    Merge,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        6 => Just(Step::Append),
        1 => (0..8_usize).prop_map(Step::Delete),
        1 => (0..8_usize).prop_map(Step::Compact),
        1 => any::<bool>().prop_map(Step::Reload),
        1 => Just(Step::AddColumn),
        3 => Just(Step::Merge),
    ];
    proptest::collection::vec((any::<bool>(), step), 1..16)
}

/// One branch: its rows by the file they are in, and its columns.
#[derive(Clone, Debug, Default, PartialEq)]
struct Side {
    files: BTreeMap<usize, Vec<i64>>,
    columns: BTreeSet<String>,
}

impl Side {
    fn rows(&self) -> Vec<i64> {
        let mut rows: Vec<i64> = self.files.values().flatten().copied().collect();
        rows.sort_unstable();
        rows
    }

    fn lost_files_of(&self, base: &Side) -> BTreeSet<usize> {
        let lost = base.files.keys();
        let lost = lost.filter(|file| !self.files.contains_key(file));
        lost.copied().collect()
    }

    fn gained_files_over(&self, base: &Side) -> bool {
        self.files.keys().any(|file| !base.files.contains_key(file))
    }
}

/// Whether the files of two sides cannot be merged.
fn clash(base: &Side, ours: &Side, theirs: &Side) -> bool {
    let (our_loss, their_loss) = (ours.lost_files_of(base), theirs.lost_files_of(base));
    let common = &our_loss & &their_loss;
    let gained = ours.gained_files_over(base) || theirs.gained_files_over(base);
    let both_rewrote = our_loss != common && their_loss != common;
    both_rewrote || (!common.is_empty() && gained)
}

async fn run(steps: Vec<(bool, Step)>) {
    let lake = two_branches().await;
    let files = (1..=3).map(|n| (n as usize, vec![n]));
    let start = Side {
        files: files.collect(),
        columns: BTreeSet::new(),
    };
    let mut base = start.clone();
    let mut sides = [start.clone(), start];
    let names = ["main", "dev"];
    let mut next = 100;
    for (on_dev, step) in steps {
        let (at_side, name) = (usize::from(on_dev), names[usize::from(on_dev)]);
        next += 1;
        let file = next as usize;
        let side = &mut sides[at_side];
        match step {
            Step::Append => {
                append(&lake, name, next).await;
                side.files.insert(file, vec![next]);
            }
            Step::Delete(nth) => {
                let Some((id, gone)) = side.files.iter().nth(nth).map(|(id, r)| (*id, r.clone()))
                else {
                    continue;
                };
                rewrite(&lake, name, &gone, &[]).await;
                side.files.remove(&id);
            }
            Step::Compact(nth) => {
                let two: Vec<_> = side.files.keys().copied().skip(nth).take(2).collect();
                let [a, b] = two[..] else { continue };
                let rows: Vec<i64> = [a, b]
                    .iter()
                    .flat_map(|id| side.files[id].clone())
                    .collect();
                compact(&lake, name, &rows).await;
                side.files.retain(|id, _| *id != a && *id != b);
                side.files.insert(file, rows);
            }
            Step::Reload(filled) => {
                truncate(&lake, name).await;
                side.files.clear();
                if filled {
                    append(&lake, name, next).await;
                    side.files.insert(file, vec![next]);
                }
            }
            Step::AddColumn => {
                let column = format!("c{next}");
                alter(&lake, name, &[add_column(&column, DataType::Float64)]).await;
                side.columns.insert(column);
            }
            Step::Merge => {
                let (ours, theirs) = (&sides[1 - at_side], &sides[at_side]);
                let both_rewrote = clash(&base, ours, theirs);
                let both_altered = ours.columns != base.columns && theirs.columns != base.columns;
                let report = merge(&lake, name, names[1 - at_side]).await;
                if report.outcome == MergeOutcome::Conflicts {
                    assert!(
                        both_rewrote || both_altered,
                        "{report:#?}\n{base:#?}\n{sides:#?}"
                    );
                    continue;
                }
                assert!(!both_rewrote && !both_altered, "{report:#?}");
                let merged = merged(&base, ours, theirs);
                assert_eq!(rows(&lake, names[1 - at_side]).await, merged.rows());
                base = theirs.clone();
                sides[1 - at_side] = merged;
            }
        }
    }
    for (side, name) in sides.iter().zip(names) {
        assert_eq!(rows(&lake, name).await, side.rows());
        let table = at(&lake, name).await;
        assert_eq!(table.arrow_schema().fields().len(), 4 + side.columns.len());
    }
}

fn merged(base: &Side, ours: &Side, theirs: &Side) -> Side {
    let mut merged = ours.clone();
    merged
        .files
        .retain(|id, _| theirs.files.contains_key(id) || !base.files.contains_key(id));
    for (id, rows) in &theirs.files {
        if !base.files.contains_key(id) {
            merged.files.insert(*id, rows.clone());
        }
    }
    merged.columns.extend(theirs.columns.iter().cloned());
    merged
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn merges_equal_the_sum_of_changes(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(run(steps));
    }
}
