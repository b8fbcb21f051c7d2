//! Which rows end a sample, and which part it is of.
use super::rows::Rows;
use super::split::Side;
use crate::spec::WindowSpec;

/// The last row of each sample, by part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Samples {
    pub(super) train: Vec<usize>,
    pub(super) validation: Vec<usize>,
    pub(super) test: Vec<usize>,
}

/// The samples of rows that are sorted by series and time.
///
/// A sample is the `length` rows of one series up to one that has a label, or up to one that
/// `horizon` more rows of the series follow. It is of the part its label is in, or all of its
/// future; it may look back at rows of earlier parts and of none, but never at those of later
/// parts. Samples to learn from are at least `stride` rows apart; those to judge by are all
/// there are, as predictions are asked for at any row.
pub(super) fn samples(rows: &Rows, sides: &[Side], window: &WindowSpec) -> Samples {
    let mut found = Samples::default();
    let mut start = 0;
    while start < rows.count {
        let end = end_of_series(rows, start);
        of_series(rows, sides, window, start..end, &mut found);
        start = end;
    }
    found
}

/// Rows of the longest series.
pub(super) fn longest(rows: &Rows) -> usize {
    let (mut longest, mut start) = (0, 0);
    while start < rows.count {
        let end = end_of_series(rows, start);
        longest = longest.max(end - start);
        start = end;
    }
    longest
}

/// The end of the series that begins at a row.
fn end_of_series(rows: &Rows, start: usize) -> usize {
    match rows.series.get(start) {
        None => rows.count,
        Some(series) => start + rows.series[start..].partition_point(|other| other <= series),
    }
}

fn of_series(
    rows: &Rows,
    sides: &[Side],
    window: &WindowSpec,
    series: std::ops::Range<usize>,
    found: &mut Samples,
) {
    // The rows after the last one of a later part than training, and than validation.
    let (mut after_validation, mut after_test) = (series.start, series.start);
    let mut next_to_learn = series.start;
    let mut same = Same::default();
    for end in series.clone() {
        match sides[end] {
            Side::Validation => after_validation = end + 1,
            Side::Test => (after_validation, after_test) = (end + 1, end + 1),
            Side::Context | Side::Train => {}
        }
        let Some(start) = (end + 1)
            .checked_sub(window.length)
            .filter(|s| *s >= series.start)
        else {
            continue;
        };
        let side = match window.horizon {
            0 if rows.is_labelled(end) => sides[end],
            0 => Side::Context,
            horizon => same.of(sides, end + 1..end + 1 + horizon, series.end),
        };
        match side {
            Side::Train if start >= after_validation && end >= next_to_learn => {
                next_to_learn = end + window.stride;
                found.train.push(end);
            }
            Side::Validation if start >= after_test => found.validation.push(end),
            Side::Test => found.test.push(end),
            Side::Context | Side::Train | Side::Validation => {}
        }
    }
}

/// Tells whether a stretch of rows is of one part, for stretches one after the other.
#[derive(Default)]
struct Same {
    /// Rows before this one are of the same part as the stretch's first.
    until: usize,
}

impl Same {
    /// The part all of `rows` are in; [`Side::Context`] where they are in several, or reach
    /// over the `end` of the series.
    fn of(&mut self, sides: &[Side], rows: std::ops::Range<usize>, end: usize) -> Side {
        if rows.end > end {
            return Side::Context;
        }
        let side = sides[rows.start];
        if self.until <= rows.start {
            let rest = sides[rows.start..end].iter();
            self.until = rows.start + rest.take_while(|other| **other == side).count();
        }
        match rows.end <= self.until {
            true => side,
            false => Side::Context,
        }
    }
}
