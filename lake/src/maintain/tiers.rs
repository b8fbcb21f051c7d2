//! Which small files of a partition are merged, and when.
//!
//! While a partition is written to, its small files are in tiers by their rows: 1 to 7, 8
//! to 63, 64 to 511, and so on. A tier that has [`FANOUT`] files becomes one file of a
//! higher tier. So a row is rewritten at most once in each tier, about log₈(rows of a full
//! file) times in all, and a tier never keeps more than seven files.
//!
//! Once nothing has come for a while, the small files of all tiers are merged, but for
//! those beside which the others are small: a file is rewritten only together with a
//! quarter of its own rows, so late rows that trickle in do not rewrite a large file again
//! and again, and of what stays each file is more than four times all smaller ones.

/// Files of one tier that are merged, and the ratio of rows from tier to tier.
pub(super) const FANOUT: usize = 8;
/// In a settled partition a file joins the merge of smaller ones when they have at least
/// this part of its rows together.
const SHARE: u64 = 4;

/// The files, by their indices in `rows`, that are due to be merged while more come.
/// `rows` are the row counts of the small files of one partition.
pub(super) fn active(rows: &[u64]) -> Vec<usize> {
    let mut tiers = vec![Vec::new(); 64];
    for (at, rows) in rows.iter().enumerate() {
        tiers[tier(*rows)].push(at);
    }
    tiers.retain(|tier| tier.len() >= FANOUT);
    tiers.concat()
}

/// The files that are due once no more come.
pub(super) fn settled(rows: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| rows[*at]);
    let mut due = 0;
    let mut sum = 0_u64;
    for (count, at) in order.iter().enumerate() {
        let own = rows[*at];
        // What is too large for the smaller ones may still go with one of its own size.
        if count > 0 && own <= sum.saturating_mul(SHARE) {
            due = count + 1;
        }
        sum = sum.saturating_add(own);
    }
    order.truncate(due);
    order
}

fn tier(rows: u64) -> usize {
    rows.max(1).ilog(FANOUT as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tier_waits_for_its_eighth_file() {
        assert!(active(&[5; 7]).is_empty());
        assert_eq!(active(&[5; 8]).len(), 8);
        let mixed = [[1; 7].as_slice(), &[8; 8], &[100; 7]].concat();
        assert_eq!(active(&mixed), (7..15).collect::<Vec<_>>());
        assert_eq!(active(&[0; 8]).len(), 8);
        assert_eq!(active(&[u64::MAX; 8]).len(), 8);
    }

    #[test]
    fn a_settled_partition_spares_what_is_large() {
        assert_eq!(settled(&[3, 100, 2, 1]), [3, 2, 0]);
        assert_eq!(settled(&[10, 40]), [0, 1]);
        assert!(settled(&[10, 41]).is_empty());
        assert_eq!(settled(&[1, 50, 50]).len(), 3);
        assert!(settled(&[7]).is_empty());
        assert!(settled(&[]).is_empty());
    }

    proptest! {
        /// Files come one by one; what is due is merged at once.
        #[test]
        fn files_stay_few_and_rows_are_rewritten_seldom(
            sizes in proptest::collection::vec(1..3_u64, 1..4_000)
        ) {
            // Rows, and how often the most rewritten of them was rewritten.
            let mut files: Vec<(u64, u32)> = Vec::new();
            let mut total = 0_u64;
            for size in sizes {
                total += size;
                files.push((size, 0));
                let rows: Vec<u64> = files.iter().map(|file| file.0).collect();
                let due = active(&rows);
                if !due.is_empty() {
                    let rows = due.iter().map(|at| files[*at].0).sum();
                    let often = due.iter().map(|at| files[*at].1).max().unwrap_or(0) + 1;
                    let mut at = 0;
                    files.retain(|_| { at += 1; !due.contains(&(at - 1)) });
                    files.push((rows, often));
                }
                let tiers = tier(total) + 1;
                prop_assert!(files.len() < FANOUT * tiers);
                prop_assert!(files.iter().all(|file| file.1 < tiers as u32));
            }
            let rows: Vec<u64> = files.iter().map(|file| file.0).collect();
            let due = settled(&rows);
            let merged: u64 = due.iter().map(|at| rows[*at]).sum();
            let mut left: Vec<u64> = (0..rows.len()).filter(|at| !due.contains(at)).map(|at| rows[at]).collect();
            left.extend((merged > 0).then_some(merged));
            left.sort_unstable();
            prop_assert!(left.len() <= tier(total) * 2 + 2);
        }
    }
}
