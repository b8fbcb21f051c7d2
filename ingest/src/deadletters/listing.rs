//! How many dead letters there are, of which reasons, and the newest of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use catalog::{Key, Result};
use lake::Lake;

use super::filter::Filter;
use super::letters::{self, Letter};

/// Different reasons that are told apart; they may hold values of messages.
const MOST_REASONS: usize = 10_000;
/// Stands for all others.
const OTHERS: &str = "(other reasons)";

/// What dead letters there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// All that were asked for.
    pub count: u64,
    /// How many there are of each reason, the most frequent first.
    pub reasons: Vec<(String, u64)>,
    /// The newest of them, newest first.
    pub newest: Vec<Letter>,
}

/// Counts the letters on `branch` that `filter` takes, and shows the newest `limit` of them.
/// Letters that an ingester has not committed yet are not among them.
///
/// # Errors
/// Those of the lake.
pub async fn list(
    lake: &Lake,
    branch: &str,
    table: &Key,
    filter: &Filter,
    limit: usize,
) -> Result<Listing> {
    let head = lake.catalog().head(branch).await?;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let mut newest = BinaryHeap::new();
    let mut count = 0;
    for table in letters::tables(lake, &head, table).await? {
        for file in table.data_files().await?.iter() {
            if letters::is_older(&table, file, filter.since) {
                continue;
            }
            for batch in letters::rows(lake, &table, file).await? {
                let found = letters::letters(&batch)?.into_iter();
                for letter in found.filter(|letter| filter.takes(letter)) {
                    count += 1;
                    let known =
                        reasons.len() < MOST_REASONS || reasons.contains_key(&letter.reason);
                    let reason = if known {
                        letter.reason.as_str()
                    } else {
                        OTHERS
                    };
                    *reasons.entry(reason.to_owned()).or_default() += 1;
                    newest.push(Reverse(ByTime(letter)));
                    if newest.len() > limit {
                        newest.pop();
                    }
                }
            }
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| Reverse(*count));
    let newest = newest.into_sorted_vec().into_iter();
    Ok(Listing {
        count,
        reasons,
        newest: newest.map(|Reverse(ByTime(letter))| letter).collect(),
    })
}

/// A letter in the order of arrival.
#[derive(PartialEq, Eq)]
struct ByTime(Letter);

impl Ord for ByTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |it: &Self| (it.0.received, it.0.topic.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ByTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
