//! What all cells of a column have in common: the types it can have, and where each ended.

use super::cell::Cell;
use super::options::Declared;
use super::text::{self, Notation, Number};
use super::time;

/// Types that cells are tried for. Text takes every cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Boolean,
    Long,
    Double,
    Timestamp,
    Date,
}

impl Reading {
    pub(super) const ALL: [Self; 5] = [
        Self::Boolean,
        Self::Long,
        Self::Double,
        Self::Timestamp,
        Self::Date,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of [`Reading`]s.
const NUMBERS: u8 = Reading::Long.bit() | Reading::Double.bit();
const TIMES: u8 = Reading::Timestamp.bit() | Reading::Date.bit();
const EVERY: u8 = NUMBERS | TIMES | Reading::Boolean.bit();

/// A cell that a type does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// File and line.
    pub(super) place: String,
    pub(super) value: String,
    /// Which of the column's values it is.
    pub(super) nth: u64,
}

/// What is known of a column once its cells have been seen.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Cells that hold a value.
    pub(super) values: u64,
    /// The first of them.
    pub(super) example: String,
    /// The readings that take all cells so far.
    possible: u8,
    misfits: [Option<Misfit>; 5],
    /// The format times are declared to have.
    format: Option<String>,
    /// Integers beyond 64 bits.
    pub(super) huge: bool,
    /// Numbers that are no integers.
    pub(super) fractions: bool,
    /// Integers that a double rounds.
    pub(super) inexact: bool,
    /// The first integer that a double rounds, and that a float does.
    pub(super) rounded: [Option<Misfit>; 2],
    /// Objects or arrays.
    pub(super) nested: bool,
    /// Least and largest integer.
    pub(super) longs: Option<(i64, i64)>,
    /// Earliest and latest time, in microseconds.
    pub(super) times: Option<(i64, i64)>,
}

/// What one cell can be read as.
#[derive(Default)]
struct Look {
    readings: u8,
    long: Option<i64>,
    micros: Option<i64>,
    /// Whether a double rounds it, and whether a float does.
    rounds: [bool; 2],
}

impl Profile {
    /// A column of which nothing is known but what was declared.
    pub(super) fn new(name: String, declared: Option<&Declared>) -> Self {
        let possible = match declared {
            // Its cells need not be looked at.
            Some(Declared::String) => 0,
            _ => EVERY,
        };
        let format = match declared {
            Some(Declared::Timestamp(format) | Declared::Date(format)) => format.clone(),
            _ => None,
        };
        Self {
            name,
            values: 0,
            example: String::new(),
            possible,
            misfits: Default::default(),
            format,
            huge: false,
            fractions: false,
            inexact: false,
            rounded: [None, None],
            nested: false,
            longs: None,
            times: None,
        }
    }

    /// Takes a cell of the row that `place` tells.
    pub(super) fn add(&mut self, cell: &Cell<'_>, notation: &Notation, place: &dyn Fn() -> String) {
        if *cell == Cell::Null {
            return;
        }
        if self.values == 0 {
            self.example = cell.shown();
        }
        self.values += 1;
        self.nested |= matches!(cell, Cell::Nested(_));
        if self.possible == 0 {
            return;
        }
        let look = self.look(cell, notation);
        widen(&mut self.longs, look.long);
        widen(&mut self.times, look.micros);
        let misfit = || Misfit {
            place: place(),
            value: cell.shown(),
            nth: self.values,
        };
        for (rounded, rounds) in self.rounded.iter_mut().zip(look.rounds) {
            if rounds && rounded.is_none() {
                *rounded = Some(misfit());
            }
        }
        if look.readings != self.possible {
            let lost = self.possible & !look.readings;
            self.possible &= look.readings;
            for reading in Reading::ALL {
                if lost & reading.bit() != 0 {
                    self.misfits[reading as usize] = Some(misfit());
                }
            }
        }
    }

    /// Whether all cells can be read so.
    pub(super) fn is(&self, reading: Reading) -> bool {
        self.possible & reading.bit() != 0
    }

    /// The first cell that cannot.
    pub(super) fn misfit(&self, reading: Reading) -> Option<&Misfit> {
        self.misfits[reading as usize].as_ref()
    }

    fn look(&mut self, cell: &Cell<'_>, notation: &Notation) -> Look {
        match cell {
            Cell::Bool(_) => Look::of(Reading::Boolean.bit()),
            Cell::Int(value) => self.number(Number::Int(*value)),
            Cell::Float(value) => self.number(Number::Float(*value)),
            Cell::Micros(micros) => moment(*micros),
            Cell::Text(text) => self.time(text),
            Cell::Open(text) => self.open(text, notation),
            Cell::Null | Cell::Nested(_) => Look::default(),
        }
    }

    /// Only what is still possible is tried, so that a column of numbers costs no dates.
    fn open(&mut self, text: &str, notation: &Notation) -> Look {
        if self.possible & NUMBERS != 0 && self.format.is_none() {
            let number = notation.point(text).and_then(|text| text::number(&text));
            if let Some(number) = number {
                return self.number(number);
            }
        }
        if self.possible & TIMES != 0 {
            let look = self.time(text);
            if look.readings != 0 {
                return look;
            }
        }
        let boolean = self.possible & Reading::Boolean.bit() != 0;
        match boolean && text::boolean(text).is_some() {
            true => Look::of(Reading::Boolean.bit()),
            false => Look::default(),
        }
    }

    fn number(&mut self, number: Number) -> Look {
        let (long, rounds) = match number {
            Number::Int(value) => {
                let rounds = [53, 24].map(|bits| !text::is_exact(value, bits));
                self.inexact |= rounds[0];
                (Some(value), rounds)
            }
            Number::Huge(_) => {
                self.huge = true;
                (None, [true, true])
            }
            Number::Float(_) => {
                self.fractions = true;
                (None, [false, false])
            }
        };
        Look {
            readings: match long {
                Some(_) => NUMBERS,
                None => Reading::Double.bit(),
            },
            long,
            micros: None,
            rounds,
        }
    }

    fn time(&self, text: &str) -> Look {
        let text = text.trim_ascii();
        let micros = match &self.format {
            Some(format) => time::by_format(text, format),
            None => time::timestamp(text),
        };
        micros.map_or_else(Look::default, |micros| {
            let mut look = moment(micros);
            // A date is written as one, and not as midnight.
            if self.format.is_none() && time::date(text).is_none() {
                look.readings &= !Reading::Date.bit();
            }
            look
        })
    }
}

impl Look {
    fn of(readings: u8) -> Self {
        Self {
            readings,
            ..Self::default()
        }
    }
}

fn moment(micros: i64) -> Look {
    let readings = match time::is_midnight(micros) {
        true => TIMES,
        false => Reading::Timestamp.bit(),
    };
    Look {
        micros: Some(micros),
        ..Look::of(readings)
    }
}

fn widen(range: &mut Option<(i64, i64)>, value: Option<i64>) {
    if let Some(value) = value {
        let (least, most) = range.unwrap_or((value, value));
        *range = Some((least.min(value), most.max(value)));
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn profile(cells: &[&str]) -> Profile {
        let mut profile = Profile::new("c".into(), None);
        for (at, cell) in cells.iter().enumerate() {
            let cell = match *cell {
                "" => Cell::Null,
                text => Cell::Open(Cow::Borrowed(text)),
            };
            profile.add(&cell, &Notation::default(), &|| format!("line {}", at + 1));
        }
        profile
    }

    fn readings(profile: &Profile) -> Vec<Reading> {
        let all = Reading::ALL.into_iter();
        all.filter(|reading| profile.is(*reading)).collect()
    }

    #[test]
    fn a_column_is_what_all_its_cells_are() {
        use Reading::{Boolean, Date, Double, Long, Timestamp};
        for (cells, expected) in [
            (vec!["1", "", "-2"], vec![Long, Double]),
            (vec!["1", "2.5"], vec![Double]),
            (vec!["1", "99999999999999999999"], vec![Double]),
            (vec!["1", "007"], vec![]),
            (vec!["true", "False"], vec![Boolean]),
            (vec!["true", "1"], vec![]),
            (vec!["2026-11-21", "2026-11-22"], vec![Timestamp, Date]),
            (vec!["2026-11-21", "2026-11-22 10:00"], vec![Timestamp]),
            (vec!["2026-11-21 00:00:00"], vec![Timestamp]),
            (vec!["2026-11-21", "soon"], vec![]),
        ] {
            assert_eq!(readings(&profile(&cells)), expected, "{cells:?}");
        }
        let mixed = profile(&["1", "2", "n/a", "x"]);
        let misfit = mixed.misfit(Reading::Long).unwrap();
        assert_eq!(
            (misfit.place.as_str(), misfit.value.as_str()),
            ("line 3", "n/a")
        );
        assert_eq!(mixed.misfit(Reading::Boolean).unwrap().place, "line 1");
        assert_eq!((mixed.values, mixed.longs), (4, Some((1, 2))));
    }

    proptest! {
        /// Nothing a column is said to be fails for one of its cells.
        #[test]
        fn what_is_possible_holds_for_every_cell(
            cells in prop::collection::vec("[0-9.eE+-]{0,6}|[0-9]{4}-[01][0-9]-[0-3][0-9]( 1[0-9]:00)?|true|[a-z]{1,3}", 1..12)
        ) {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            let profile = profile(&cells);
            for cell in cells.iter().filter(|cell| !cell.is_empty()) {
                if profile.is(Reading::Long) {
                    prop_assert!(cell.parse::<i64>().is_ok());
                }
                if profile.is(Reading::Double) {
                    prop_assert!(cell.parse::<f64>().is_ok());
                }
                if profile.is(Reading::Boolean) {
                    prop_assert!(*cell == "true");
                }
                if profile.is(Reading::Timestamp) {
                    prop_assert!(time::timestamp(cell).is_some());
                }
                if profile.is(Reading::Date) {
                    prop_assert!(time::date(cell).is_some());
                }
            }
            for reading in Reading::ALL {
                let ended = profile.misfit(reading).is_some();
                prop_assert_eq!(profile.is(reading), !ended);
            }
        }
    }
}
