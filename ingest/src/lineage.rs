//! Whose records the lake holds: those of this log, or of a copy of it that went its own way.
//!
//! Every opening of a log is a *run* with a name of its own, and each segment tells the run that
//! wrote it. A log is only ever appended to, so a position together with its run names a record
//! among all copies of a log, and two logs that agree on one record agree on all before it. Each
//! commit tells the runs of the positions it holds. So a log can find which of its records are in
//! the lake, whoever brought them there.

use catalog::{Catalog, Error, Result};
use uuid::Uuid;

/// The commit property with the runs of the positions that the commit holds.
pub(crate) const RUNS: &str = "ingest.runs";
/// Commits looked through for those of an ingester.
const MOST_COMMITS: usize = 200_000;
/// Commits read at a time, once it is clear that an ingester's last one is not near the head.
const PAGE: usize = 1_000;

/// Consecutive positions written by one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) base: u64,
    pub(crate) last: u64,
    /// None where the log does not tell.
    pub(crate) run: Option<Uuid>,
}

/// The positions of one run that a commit holds records of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) base: u64,
    /// None where the commit does not tell: commits of before told only where each run began.
    pub(crate) last: Option<u64>,
    pub(crate) run: Uuid,
}

/// A commit of one ingester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landed {
    /// The last position it holds.
    pub(crate) watermark: u64,
    /// What each run wrote of it, in order of position.
    pub(crate) runs: Vec<Span>,
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

/// The runs as a commit property: `FIRST-LAST:RUN`, separated by commas. Where a run ends is told,
/// because the next one may begin further on: a torn record leaves a gap of positions.
pub(crate) fn format_runs(stretches: &[Stretch]) -> String {
    let run = |s: &Stretch| Some(format!("{}-{}:{}", s.base, s.last, s.run?));
    stretches
        .iter()
        .filter_map(run)
        .collect::<Vec<_>>()
        .join(",")
}

fn parse_runs(text: &str) -> Vec<Span> {
    let one = |text: &str| {
        let (positions, run) = text.split_once(':')?;
        let (base, last) = match positions.split_once('-') {
            Some((base, last)) => (base, Some(last.parse().ok()?)),
            None => (positions, None),
        };
        Some(Span {
            base: base.parse().ok()?,
            last,
            run: run.parse().ok()?,
        })
    };
    text.split(',').filter_map(one).collect()
}

/// The last commit of `ingester` on the branch; none when the branch has none of it.
///
/// # Errors
/// `Conflict` when there are more commits than are looked through.
pub(crate) async fn last_landed(
    catalog: &Catalog,
    branch: &str,
    ingester: &str,
) -> Result<Option<Landed>> {
    let found = landed(catalog, branch, ingester, |_| true).await?;
    match found.commits.into_iter().next() {
        None if !found.all => Err(Error::conflict(format!(
            "the last {MOST_COMMITS} commits of branch {branch} hold none of ingester {ingester}: \
             whether a copy of this log committed cannot be told"
        ))
        .with_hint("start with an empty data folder, and keep this one")),
        last => Ok(last),
    }
}

/// Commits of one ingester, newest first.
struct Found {
    commits: Vec<Landed>,
    /// Whether the branch was looked through to its beginning.
    all: bool,
}

/// The commits of `ingester` from the newest on, up to one that `enough` is content with.
async fn landed(
    catalog: &Catalog,
    branch: &str,
    ingester: &str,
    enough: impl Fn(&Landed) -> bool,
) -> Result<Found> {
    let name = format!("watermark.{ingester}");
    let mut commits: Vec<Landed> = Vec::new();
    // Read in growing steps: the last commit of an ingester is usually near the head.
    let (mut step, mut seen, mut spec) = (4, 0, branch.to_owned());
    loop {
        let log = catalog.log(&spec, step).await?;
        seen += log.len();
        for commit in &log {
            let Some(watermark) = commit.properties.get(&name).and_then(|w| w.parse().ok()) else {
                continue;
            };
            let runs = commit.properties.get(RUNS);
            let landed = Landed {
                watermark,
                runs: runs.map(|runs| parse_runs(runs)).unwrap_or_default(),
                flush: commit.properties.get(crate::flush::FLUSH).cloned(),
            };
            let done = enough(&landed);
            commits.push(landed);
            if done {
                return Ok(Found {
                    commits,
                    all: false,
                });
            }
        }
        let Some(parent) = log.last().and_then(|commit| commit.parent) else {
            return Ok(Found { commits, all: true });
        };
        if seen >= MOST_COMMITS {
            return Ok(Found {
                commits,
                all: false,
            });
        }
        spec = parent.to_string();
        step = (step * 4).min(PAGE);
    }
}

/// How the watermark of the commit `landed` stands to a log of these stretches that ends at `end`.
pub(crate) fn agreement(landed: &Landed, log: &[Stretch], end: u64) -> Agreement {
    let watermark = landed.watermark;
    let theirs = landed.runs.last().map(|span| span.run);
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
        for (at, span) in commit.runs.iter().enumerate().rev() {
            let next = commit.runs.get(at + 1);
            let next = next.map_or(commit.watermark, |next| next.base.saturating_sub(1));
            let to = span.last.unwrap_or(next).min(next);
            let from = span.base.max(older.unwrap_or(0) + 1);
            let mine = log.iter().rev().filter(|s| s.run == Some(span.run));
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
    let found = landed(catalog, branch, ingester, enough).await?;
    // The first commit of an ingester has none before it.
    let first = found.all && before == 0;
    Ok(last_in_lake(&found.commits, log, before).or(first.then_some(0)))
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

    fn span(base: u64, last: Option<u64>, n: u128) -> Span {
        let run = run(n);
        Span { base, last, run }
    }

    fn commit(watermark: u64, runs: &[(u64, u128)]) -> Landed {
        Landed {
            watermark,
            runs: runs.iter().map(|(base, n)| span(*base, None, *n)).collect(),
            flush: None,
        }
    }

    #[test]
    fn runs_come_back_from_their_property() {
        let stretches = [stretch(1, 4, 7), stretch(5, 9, 8)];
        let text = format_runs(&stretches);
        assert_eq!(
            parse_runs(&text),
            [span(1, Some(4), 7), span(5, Some(9), 8)]
        );
        let before = format!("1:{},5:{}", run(7), run(8));
        assert_eq!(parse_runs(&before), [span(1, None, 7), span(5, None, 8)]);
        assert_eq!(parse_runs("nonsense,3:x,3-:y,-4:z"), []);
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

    #[test]
    fn positions_that_no_record_has_hide_no_records() {
        // The other one's log ended torn after 6, so that its next run began at 10; this log was
        // copied before and went on at 7 in the run they share.
        let mine = [stretch(1, 9, 1), stretch(10, 20, 2)];
        let mut theirs = commit(15, &[(1, 1), (10, 3)]);
        theirs.runs[0].last = Some(6);
        assert_eq!(last_in_lake(&[theirs], &mine, 0), Some(6));
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
                        let runs = parse_runs(&format_runs(&runs));
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
