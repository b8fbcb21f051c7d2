//! Whose records the lake holds: those of this log, or of a copy of it that went its own way.
//!
//! Every opening of a log is a *run* with a name of its own, and each segment tells the run that
//! wrote it. A log is only ever appended to, so a position together with its run names a record
//! among all copies of a log, and two logs that agree on one record agree on all before it. Each
//! commit tells the runs of the positions it holds. So a log can find which of its records are in
//! the lake, whoever brought them there.

use catalog::{Catalog, Result};
use uuid::Uuid;

/// The commit property with the runs of the positions that the commit holds.
pub(crate) const RUNS: &str = "ingest.runs";
/// Commits looked through for the last one of an ingester.
const RECENT_COMMITS: usize = 1_000;
/// Commits looked through for the place where a copy of the log went its own way.
const MOST_COMMITS: usize = 20_000;

/// Consecutive positions written by one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) base: u64,
    pub(crate) last: u64,
    /// None where the log does not tell.
    pub(crate) run: Option<Uuid>,
}

/// A commit of one ingester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landed {
    /// The last position it holds.
    pub(crate) watermark: u64,
    /// The first position of each run's segment, and the run, in order of position.
    pub(crate) runs: Vec<(u64, Uuid)>,
    /// The name of the flush, when it was one.
    pub(crate) flush: Option<String>,
}

/// How the lake's watermark stands to a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// The lake has this log's records up to it, as far as can be told.
    Same,
    /// It counts the records of a copy of this log.
    Other,
    /// It lies beyond the end of this log.
    Beyond,
}

/// The runs as a commit property.
pub(crate) fn format_runs(stretches: &[Stretch]) -> String {
    let runs = stretches.iter().filter_map(|s| Some((s.base, s.run?)));
    let runs: Vec<String> = runs.map(|(base, run)| format!("{base}:{run}")).collect();
    runs.join(",")
}

fn parse_runs(text: &str) -> Vec<(u64, Uuid)> {
    let one = |run: &str| {
        let (base, run) = run.split_once(':')?;
        Some((base.parse().ok()?, run.parse().ok()?))
    };
    text.split(',').filter_map(one).collect()
}

/// The last commit of `ingester` on the branch; none when it is not among the recent ones.
pub(crate) async fn last_landed(
    catalog: &Catalog,
    branch: &str,
    ingester: &str,
) -> Result<Option<Landed>> {
    let landed = landed(catalog, branch, ingester, RECENT_COMMITS, |_| true).await?;
    Ok(landed.into_iter().next())
}

/// The commits of `ingester` from the newest on, up to one that `enough` is content with.
async fn landed(
    catalog: &Catalog,
    branch: &str,
    ingester: &str,
    most: usize,
    enough: impl Fn(&Landed) -> bool,
) -> Result<Vec<Landed>> {
    let name = format!("watermark.{ingester}");
    let mut found: Vec<Landed> = Vec::new();
    // Read in growing steps: the last commit of an ingester is usually near the head.
    let mut step = 4;
    loop {
        let log = catalog.log(branch, step.min(most)).await?;
        found.clear();
        for commit in &log {
            let Some(watermark) = commit.properties.get(&name).and_then(|w| w.parse().ok()) else {
                continue;
            };
            let runs = commit.properties.get(RUNS);
            found.push(Landed {
                watermark,
                runs: runs.map(|runs| parse_runs(runs)).unwrap_or_default(),
                flush: commit.properties.get(crate::flush::FLUSH).cloned(),
            });
            if found.last().is_some_and(&enough) {
                return Ok(found);
            }
        }
        if log.len() < step || step >= most {
            return Ok(found);
        }
        step *= 4;
    }
}

/// How the watermark of the commit `landed` stands to a log of these stretches that ends at `end`.
pub(crate) fn agreement(landed: &Landed, log: &[Stretch], end: u64) -> Agreement {
    let watermark = landed.watermark;
    let theirs = landed.runs.last().map(|(_, run)| *run);
    let at = log.iter().find(|s| (s.base..=s.last).contains(&watermark));
    match (at.and_then(|s| s.run), theirs) {
        (Some(mine), Some(theirs)) if mine != theirs => Agreement::Other,
        _ if watermark <= end => Agreement::Same,
        (_, Some(theirs)) if !log.is_empty() && log.iter().all(|s| s.run != Some(theirs)) => {
            Agreement::Other
        }
        _ => Agreement::Beyond,
    }
}

/// The last of this log's positions that the lake holds, by whichever copy; none when that cannot
/// be told from the commits, newest first. `before` is the position before the log's first record.
fn last_in_lake(commits: &[Landed], log: &[Stretch], before: u64) -> Option<u64> {
    for (index, commit) in commits.iter().enumerate() {
        let older = commits.get(index + 1).map(|older| older.watermark);
        for (at, (base, run)) in commit.runs.iter().enumerate().rev() {
            let next = commit.runs.get(at + 1).map(|(next, _)| next - 1);
            let to = next.unwrap_or(commit.watermark);
            let from = (*base).max(older.unwrap_or(0) + 1);
            let mine = log.iter().rev().filter(|s| s.run == Some(*run));
            let common = mine.map(|s| s.last.min(to)).max();
            if let Some(common) = common.filter(|common| *common >= from) {
                return Some(common);
            }
        }
        if commit.watermark <= before {
            return Some(before);
        }
    }
    None
}

/// The last of this log's positions that the lake holds, after [`Agreement::Other`]; none when
/// that cannot be told any more.
pub(crate) async fn parting(
    catalog: &Catalog,
    branch: &str,
    ingester: &str,
    log: &[Stretch],
) -> Result<Option<u64>> {
    let before = log.first().map_or(0, |first| first.base - 1);
    let enough = |landed: &Landed| landed.watermark <= before;
    let commits = landed(catalog, branch, ingester, MOST_COMMITS, enough).await?;
    // The first commit of an ingester has none before it.
    let first = commits.len() < MOST_COMMITS && before == 0;
    Ok(last_in_lake(&commits, log, before).or(first.then_some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn stretch(base: u64, last: u64, n: u128) -> Stretch {
        let run = Some(run(n));
        Stretch { base, last, run }
    }

    fn commit(watermark: u64, runs: &[(u64, u128)]) -> Landed {
        Landed {
            watermark,
            runs: runs.iter().map(|(base, n)| (*base, run(*n))).collect(),
            flush: None,
        }
    }

    #[test]
    fn runs_come_back_from_their_property() {
        let stretches = [stretch(1, 4, 7), stretch(5, 9, 8)];
        let text = format_runs(&stretches);
        assert_eq!(parse_runs(&text), [(1, run(7)), (5, run(8))]);
        assert_eq!(parse_runs("nonsense,3:x,"), []);
    }

    #[test]
    fn a_log_agrees_with_its_own_commits_only() {
        let log = [stretch(3, 6, 1), stretch(7, 9, 2)];
        let agrees = |watermark, runs: &[_]| agreement(&commit(watermark, runs), &log, 9);
        assert_eq!(agrees(5, &[(3, 1)]), Agreement::Same);
        assert_eq!(agrees(8, &[(3, 1), (7, 2)]), Agreement::Same);
        assert_eq!(agrees(8, &[(3, 1), (7, 5)]), Agreement::Other);
        assert_eq!(agrees(8, &[]), Agreement::Same);
        assert_eq!(agrees(1, &[(1, 9)]), Agreement::Same, "its segment is gone");
        assert_eq!(agrees(12, &[(7, 2)]), Agreement::Beyond);
        assert_eq!(agrees(12, &[(10, 6)]), Agreement::Other);
        assert_eq!(
            agreement(&commit(12, &[(10, 6)]), &[], 0),
            Agreement::Beyond
        );
    }

    #[test]
    fn what_a_copy_committed_of_the_common_part_is_found() {
        // Both logs have positions up to 6; then each went on in a run of its own.
        let mine = [stretch(1, 6, 1), stretch(7, 20, 2)];
        let theirs = [
            commit(15, &[(7, 3)]),
            commit(10, &[(1, 1), (7, 3)]),
            commit(4, &[(1, 1)]),
        ];
        assert_eq!(last_in_lake(&theirs, &mine, 0), Some(6));
        // The other one was copied while it ran, and went on in the same run.
        let theirs = [commit(15, &[(1, 1)]), commit(4, &[(1, 1)])];
        assert_eq!(last_in_lake(&theirs, &mine, 0), Some(6));
        // They parted exactly at a commit.
        let theirs = [commit(15, &[(7, 3)]), commit(6, &[(1, 1)])];
        assert_eq!(last_in_lake(&theirs, &mine, 0), Some(6));
        // Older segments are gone, and all that is left is this log's own.
        let theirs = [commit(15, &[(7, 3)]), commit(6, &[(1, 1)])];
        assert_eq!(last_in_lake(&theirs, &mine[1..], 6), Some(6));
        assert_eq!(last_in_lake(&theirs[..1], &mine, 0), None);
    }

    mod against_a_model {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            /// Two copies of a log grow and commit as they like, one of them by far: the other
            /// finds exactly how many of its records are in the lake.
            #[test]
            fn the_parting_is_exact(
                common in prop::collection::vec(1_u64..6, 1..5),
                own in prop::collection::vec(1_u64..6, 1..4),
                their in prop::collection::vec(1_u64..6, 1..4),
                continued in any::<bool>(),
                steps in prop::collection::vec(1_u64..5, 1..20),
            ) {
                // A log as the run of each position.
                let grow = |log: &mut Vec<u128>, runs: &[u64], name: u128| {
                    for (n, records) in runs.iter().enumerate() {
                        log.extend((0..*records).map(|_| name + n as u128));
                    }
                };
                let mut mine = Vec::new();
                grow(&mut mine, &common, 100);
                let mut theirs = mine.clone();
                let shared = mine.len() as u64;
                grow(&mut mine, &own, 200);
                if continued {
                    let run = *theirs.last().unwrap();
                    theirs.extend([run, run]);
                }
                grow(&mut theirs, &their, 300);
                let stretches = |log: &[u128], from: u64, to: u64| {
                    let mut out: Vec<Stretch> = Vec::new();
                    for position in from + 1..=to {
                        let name = log[position as usize - 1];
                        match out.last_mut() {
                            Some(s) if s.run == Some(run(name)) => s.last = position,
                            _ => out.push(stretch(position, position, name)),
                        }
                    }
                    out
                };
                let mut commits = Vec::new();
                let mut watermark = 0;
                for step in steps {
                    let to = (watermark + step).min(theirs.len() as u64);
                    if to > watermark {
                        let runs = stretches(&theirs, watermark, to);
                        let runs = runs.iter().map(|s| (s.base, s.run.unwrap())).collect();
                        commits.insert(0, Landed { watermark: to, runs, flush: None });
                        watermark = to;
                    }
                }
                let log = stretches(&mine, 0, mine.len() as u64);
                let found = last_in_lake(&commits, &log, 0);
                prop_assert_eq!(found, Some(watermark.min(shared)));
            }
        }
    }
}
