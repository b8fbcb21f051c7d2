//! Predictions beside the truth, for one pump through time.

use arrow::array::RecordBatch;
use catalog::Result;
use indicatif::HumanCount;

use super::{screen, sql};
use crate::output;

/// Rows shown of all that were predicted.
const SHOWN: usize = 9;

/// Prints some of the rows of `pump`, evenly through time, and how many were right of all.
pub(super) fn show(pump: &str, predicted: &[RecordBatch]) -> Result<()> {
    let column = |name| sql::texts(predicted, name);
    let (truth, prediction) = (column("fault")?, column("prediction")?);
    let right = truth
        .iter()
        .zip(&prediction)
        .filter(|(truth, said)| truth == said)
        .count();
    let (times, running) = (column("ts")?, column("running")?);
    let (vibration, probability) = (column("vibration_mm_s")?, column("probability")?);
    let (pressure, temperature) = (column("pressure_bar")?, column("temperature_c")?);
    let rows: Vec<_> = spread(times.len())
        .map(|row| {
            [
                clock(&times[row]),
                if running[row] == "true" {
                    "running"
                } else {
                    "off"
                }
                .to_owned(),
                pressure[row].clone(),
                vibration[row].clone(),
                temperature[row].clone(),
                truth[row].clone(),
                prediction[row].clone(),
                two_decimals(&probability[row]),
            ]
        })
        .collect();
    let header = [
        "TIME",
        "STATE",
        "BAR",
        "MM/S",
        "CELSIUS",
        "FAULT",
        "PREDICTED",
        "PROBABILITY",
    ];
    screen::say(&format!(
        "{pump} after the training, and what the model makes of it:"
    ))?;
    screen::say(&output::to_list(header, &rows))?;
    screen::say(&format!(
        "{} of its {} readings are told right; FAULT is what the simulator knows.",
        HumanCount(right as u64),
        HumanCount(truth.len() as u64),
    ))
}

/// Up to [`SHOWN`] of `rows` positions, the first and the last among them.
fn spread(rows: usize) -> impl Iterator<Item = usize> {
    let shown = SHOWN.min(rows);
    (0..shown).map(move |n| n * (rows - 1) / (shown - 1).max(1))
}

fn two_decimals(number: &str) -> String {
    let number = number.parse::<f64>();
    number.map_or_else(|_| String::new(), |number| format!("{number:.2}"))
}

/// Hours and minutes of a time as Arrow prints it.
fn clock(time: &str) -> String {
    time.split('T')
        .nth(1)
        .unwrap_or(time)
        .chars()
        .take(5)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_from_first_to_last() {
        assert_eq!(spread(0).count(), 0);
        assert_eq!(spread(1).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(3).collect::<Vec<_>>(), [0, 1, 2]);
        let many: Vec<_> = spread(721).collect();
        assert_eq!((many.len(), many[0], many[8]), (9, 0, 720));
    }

    #[test]
    fn a_time_shows_as_on_a_clock() {
        assert_eq!(clock("2026-11-20T16:40:00Z"), "16:40");
    }
}
