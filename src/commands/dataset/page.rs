//! A preview as a page for people to read.

use ml::{Figures, PartPreview, Preview};

use crate::style;

/// Classes that are shown; more are counted.
const MOST_CLASSES: usize = 20;

/// The whole page, sections apart by an empty line.
pub(super) fn of(model: &str, preview: &Preview) -> String {
    let sections = [
        head(model, preview),
        parts(preview),
        labels(preview),
        features(preview),
        rows(preview),
        warnings(preview),
    ];
    let there: Vec<String> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    there.join("\n\n")
}

fn head(model: &str, preview: &Preview) -> String {
    let commit: String = preview.commit.to_string().chars().take(12).collect();
    let mut lines = vec![format!("data set of {model} at {}", style::commit(&commit))];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    line("fingerprint", preview.fingerprint.clone());
    let of = match (&preview.label, preview.targets.as_slice()) {
        (Some(label), _) => format!(" of {label}"),
        (None, []) => String::new(),
        (None, targets) => format!(" of {}", targets.join(", ")),
    };
    line("task", format!("{}{of}", preview.task));
    let mut sample = format!("{} features", preview.features.len());
    if preview.length > 1 || preview.horizon > 0 {
        sample = format!("windows of {} rows of {sample}", preview.length);
    }
    if preview.horizon > 0 {
        sample = format!("{sample}, and the {} rows after them", preview.horizon);
    }
    line("samples", sample);
    if preview.dropped > 0 {
        line(
            "left out",
            format!("{} rows without a label", preview.dropped),
        );
    }
    lines.join("\n")
}

fn parts(preview: &Preview) -> String {
    let spans = preview.parts.iter().any(|part| part.span.is_some());
    let total: usize = preview.parts.iter().map(|part| part.samples).sum();
    let mut header = vec!["PART", "SAMPLES", "SHARE"];
    header.extend((preview.series > 0).then_some("SERIES"));
    header.extend(spans.then_some(["FROM", "TO"]).into_iter().flatten());
    let row = |part: &PartPreview| {
        let mut cells = vec![
            part.name.to_owned(),
            part.samples.to_string(),
            percent(part.samples as f64, total as f64),
        ];
        cells.extend((preview.series > 0).then(|| part.series.to_string()));
        if spans {
            let none = || [String::from("-"), String::from("-")];
            cells.extend(part.span.clone().unwrap_or_else(none));
        }
        cells
    };
    table(&header, preview.parts.iter().map(row).collect())
}

/// How the label is spread over the parts.
fn labels(preview: &Preview) -> String {
    let parts = &preview.parts;
    let classes = parts.first().map_or(0, |part| part.classes.len());
    if classes > 0 {
        let mut header = vec!["CLASS"];
        header.extend(parts.iter().map(|part| part.name));
        let row = |at: usize| {
            let mut cells = vec![parts[0].classes[at].0.to_string()];
            cells.extend(parts.iter().map(|part| {
                let count = part.classes[at].1;
                let share = percent(count as f64, part.samples as f64);
                format!("{count} ({share})")
            }));
            cells
        };
        let shown = classes.min(MOST_CLASSES);
        let mut text = table(&header, (0..shown).map(row).collect());
        if shown < classes {
            text += &format!("\nand {} more classes", classes - shown);
        }
        return text;
    }
    let numbers = parts
        .iter()
        .filter_map(|part| Some((part.name, part.label?)));
    let rows: Vec<_> = numbers
        .map(|(name, label)| [vec![name.to_owned()], figures(&label)].concat())
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => table(&[&["LABEL"], FIGURES.as_slice()].concat(), rows),
    }
}

const FIGURES: [&str; 7] = ["MEAN", "STD", "MIN", "25 %", "MEDIAN", "75 %", "MAX"];

fn figures(of: &Figures) -> Vec<String> {
    let [low, middle, high] = of.quartiles;
    let all = [of.mean, of.deviation, of.min, low, middle, high, of.max];
    all.map(number).to_vec()
}

fn features(preview: &Preview) -> String {
    let header = [&["FEATURE", "TYPE", "MISSING"], FIGURES.as_slice()].concat();
    let rows = preview.features.iter().map(|feature| {
        let mut cells = vec![
            feature.name.clone(),
            feature.data_type.clone(),
            percent(feature.missing, 1.0),
        ];
        match &feature.values {
            Some(values) => cells.extend(figures(values)),
            None => cells.extend(FIGURES.map(|_| "-".to_owned())),
        }
        cells
    });
    table(&header, rows.collect())
}

/// The first rows, one a column: features are many and rows are few.
fn rows(preview: &Preview) -> String {
    let shown = &preview.rows;
    let Some(first) = shown.first() else {
        return String::new();
    };
    let line = |name: &str, cell: &dyn Fn(&ml::RowPreview) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(shown.iter().map(cell));
        cells
    };
    let mut lines = Vec::new();
    if first.entity.is_some() {
        lines.push(line("series", &|row| {
            row.entity.clone().unwrap_or_default()
        }));
    }
    if let Some(label) = &preview.label {
        lines.push(line(label, &|row| row.label.clone().unwrap_or_default()));
    }
    for (at, feature) in preview.features.iter().enumerate() {
        lines.push(line(&feature.name, &|row| match row.values.get(at) {
            Some(Some(value)) => number(f64::from(*value)),
            _ => "-".to_owned(),
        }));
    }
    let mut header = vec!["ROW"];
    let numbers: Vec<String> = (1..=shown.len()).map(|row| row.to_string()).collect();
    header.extend(
        shown
            .iter()
            .zip(&numbers)
            .map(|(row, number)| match row.time.as_str() {
                "" => number,
                time => time,
            }),
    );
    table(&header, lines)
}

fn warnings(preview: &Preview) -> String {
    if preview.warnings.is_empty() {
        return "no warnings".to_owned();
    }
    let mut lines = vec![style::red("warnings")];
    lines.extend(preview.warnings.iter().map(|text| format!("  {text}")));
    lines.join("\n")
}

/// Columns aligned: the first to the left, numbers to the right.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut all = vec![header.iter().map(|name| (*name).to_owned()).collect()];
    all.extend(rows);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row: &Vec<String>| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let to_left = |column: usize| column == 0 || header[column] == "TYPE";
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .enumerate()
            .map(|(column, cell)| match to_left(column) {
                true => format!("{cell:<0$}", widths[column]),
                false => format!("{cell:>0$}", widths[column]),
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn percent(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.1} %", 100.0 * part / whole),
        false => "-".to_owned(),
    }
}

/// A number in about four digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1234.567, "1235"),
            (0.012345, "0.01235"),
            (1e-9, "1.00e-9"),
            (1.5e9, "1.50e9"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = vec![
            vec!["a".into(), "1".into()],
            vec!["long".into(), "22".into()],
        ];
        assert_eq!(table(&["NAME", "N"], rows), "NAME   N\na      1\nlong  22");
    }
}
