//! C-MAPSS FD001: 100 turbofan engines run until they fail, and 100 whose recording ends
//! earlier; how many cycles are left?
use crate::support::{Column, Plant, data};

/// Sensors that vary; the others are constant in FD001.
pub(crate) const SENSORS: [usize; 14] = [2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21];

/// A plant with the table `cmapss.cycles`: `source` (train or test), `engine`, `cycle`,
/// `s1` to `s21`, and `rul`, the cycles left, not capped.
pub(crate) async fn plant() -> Option<Plant> {
    let read = |name: &str| -> Option<Vec<Vec<f64>>> {
        let text = std::fs::read_to_string(data(&format!("cmapss/{name}_FD001.txt"))?).unwrap();
        let numbers = |line: &str| {
            line.split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect()
        };
        Some(text.lines().map(numbers).collect())
    };
    let (train, test, left) = (read("train")?, read("test")?, read("RUL")?);
    let mut source = Vec::new();
    let mut columns = vec![Vec::new(); 24];
    for (name, rows) in [("train", train), ("test", test)] {
        for row in &rows {
            let engine = row[0];
            let last = rows.iter().rev().find(|other| other[0] == engine).unwrap()[1];
            let after = if name == "test" {
                left[engine as usize - 1][0]
            } else {
                0.0
            };
            source.push(name.to_owned());
            let values = [engine, row[1]]
                .into_iter()
                .chain(row[5..26].iter().copied());
            for (column, value) in columns
                .iter_mut()
                .zip(values.chain([last - row[1] + after]))
            {
                column.push(value);
            }
        }
    }
    let names = ["engine".to_owned(), "cycle".to_owned()].into_iter();
    let names = names
        .chain((1..=21).map(|s| format!("s{s}")))
        .chain(["rul".to_owned()]);
    let mut table = vec![("source".to_owned(), Column::Text(source))];
    table.extend(names.zip(columns.into_iter().map(Column::Number)));
    let plant = Plant::new().await;
    plant.table("cmapss.cycles", table).await;
    Some(plant)
}
