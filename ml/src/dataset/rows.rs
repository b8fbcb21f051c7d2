//! The rows of a data set as they were read, and the order they are brought into.
use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use catalog::{Error, Result};
use rayon::prelude::*;

use super::split::Side;

/// Rows that one thread copies at a time.
const COPIED_AT_ONCE: usize = 1 << 14;

/// Rows by their role; each list has one entry a row, or none where the data set has no such
/// column.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) count: usize,
    /// Times as numbers in the same order.
    pub(super) times: Vec<i64>,
    /// The series, as a position among `entities`.
    pub(super) series: Vec<u32>,
    /// The names of the series, sorted.
    pub(super) entities: Vec<String>,
    /// Class numbers or values; NaN where a row has none.
    pub(super) labels: Vec<f32>,
    /// What the split column says.
    pub(super) sides: Vec<Side>,
    pub(super) weights: Vec<f32>,
    /// The features: `width` numbers a row.
    pub(super) numbers: Vec<f32>,
    pub(super) width: usize,
    /// The time column as it was read, to show times.
    pub(super) shown: Option<ArrayRef>,
    /// Where each row was read; none where all are in that place.
    pub(super) read_at: Option<Vec<u32>>,
}

impl Rows {
    /// Brings rows into an order that depends on their content alone: by series and time for
    /// windows, by time otherwise; rows alike in these by all that the data set reads of them.
    ///
    /// Rows alike in everything are interchangeable, so that the order they were read in, which
    /// parallel scans do not keep, never shows.
    pub(super) fn sort(self, by_series: bool) -> Result<Rows> {
        let count = u32::try_from(self.count).map_err(|e| {
            Error::resource_exhausted("the data set has too many rows").with_source(e)
        })?;
        // Series and time in the bits above the lowest 32, which are for the row.
        let key = |row: u32| {
            let row = row as usize;
            let time = self.times.get(row).copied().unwrap_or_default();
            let time = u128::from(time.cast_unsigned() ^ (1 << 63));
            let series = u128::from(self.series.get(row).copied().unwrap_or_default());
            match by_series {
                true => series << 96 | time << 32,
                false => time << 64 | series << 32,
            }
        };
        let in_order = (1..count).all(|row| key(row - 1) <= key(row));
        let mut order: Vec<u32> = Vec::new();
        if !in_order {
            let mut keyed: Vec<u128> = (0..count).map(|row| key(row) | u128::from(row)).collect();
            // Not the unstable sort: files are in order each, and merging runs is quick.
            keyed.par_sort();
            order = keyed.into_iter().map(|keyed| keyed as u32).collect();
        }
        let at = |order: &[u32], row: usize| order.get(row).map_or(row, |at| *at as usize);
        let mut start = 0;
        for end in 1..=self.count {
            let same = |a: usize, b: usize| key(at(&order, a) as u32) == key(at(&order, b) as u32);
            if end < self.count && same(end - 1, end) {
                continue;
            }
            let ties = start..end;
            start = end;
            let sorted = (ties.start + 1..ties.end)
                .all(|row| self.compare(at(&order, row - 1), at(&order, row)).is_le());
            if sorted {
                continue;
            }
            if order.is_empty() {
                order = (0..count).collect();
            }
            order[ties].par_sort_by(|a, b| self.compare(*a as usize, *b as usize));
        }
        Ok(if order.is_empty() {
            self
        } else {
            self.select(order)
        })
    }

    /// Rows of the same time and series by all else.
    fn compare(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let numbers = |list: &[f32]| match (list.get(a), list.get(b)) {
            (Some(a), Some(b)) => a.total_cmp(b),
            _ => std::cmp::Ordering::Equal,
        };
        let features = || {
            let pairs = self.row(a).iter().zip(self.row(b));
            let mut unlike = pairs.map(|(a, b)| a.total_cmp(b));
            unlike
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        numbers(&self.labels)
            .then_with(|| self.sides.get(a).cmp(&self.sides.get(b)))
            .then_with(|| numbers(&self.weights))
            .then_with(features)
    }

    /// The features of a row.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.numbers[row * self.width..(row + 1) * self.width]
    }

    /// The rows at `order`, in this order.
    pub(super) fn select(self, order: Vec<u32>) -> Rows {
        Rows {
            count: order.len(),
            times: pick(&self.times, &order, 1),
            series: pick(&self.series, &order, 1),
            labels: pick(&self.labels, &order, 1),
            sides: pick(&self.sides, &order, 1),
            weights: pick(&self.weights, &order, 1),
            numbers: pick(&self.numbers, &order, self.width),
            read_at: Some(match &self.read_at {
                Some(read_at) => pick(read_at, &order, 1),
                None => order,
            }),
            ..self
        }
    }

    /// Whether a row has a label; always where nothing is labelled.
    pub(super) fn is_labelled(&self, row: usize) -> bool {
        self.labels.get(row).is_none_or(|label| !label.is_nan())
    }

    /// The time of a row, as text; empty without a time column.
    pub(super) fn time_of(&self, row: usize) -> Result<String> {
        let Some(shown) = &self.shown else {
            return Ok(String::new());
        };
        let read_at = self.read_at.as_ref();
        let at = read_at.map_or(row, |read_at| read_at[row] as usize);
        array_value_to_string(shown, at)
            .map_err(|e| Error::invalid("a time of the data set cannot be shown").with_source(e))
    }

    /// The series of a row; none where series are not named.
    pub(super) fn entity_of(&self, row: usize) -> Option<&str> {
        let series = *self.series.get(row)? as usize;
        self.entities.get(series).map(String::as_str)
    }
}

/// The entries of `list` at `order`, each of `width` values; an empty list stays empty.
fn pick<T: Copy + Default + Send + Sync>(list: &[T], order: &[u32], width: usize) -> Vec<T> {
    if list.is_empty() {
        return Vec::new();
    }
    let mut picked = vec![T::default(); order.len() * width];
    let chunks = picked.par_chunks_mut(COPIED_AT_ONCE * width);
    chunks
        .zip(order.par_chunks(COPIED_AT_ONCE))
        .for_each(|(to, from)| {
            for (to, from) in to.chunks_exact_mut(width).zip(from) {
                let from = *from as usize * width;
                to.copy_from_slice(&list[from..from + width]);
            }
        });
    picked
}
