//! Cells of a CSV file as JSON values.

/// Writes `"name":value` for a cell.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, cell: &str, as_text: bool) {
    write_string(out, name);
    out.push(b':');
    match cell {
        "" => out.extend(b"null"),
        _ if as_text => write_string(out, cell),
        "true" | "false" => out.extend(cell.as_bytes()),
        _ if is_number(cell) => out.extend(cell.as_bytes()),
        _ => write_string(out, cell),
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing text to memory does not fail");
}

/// True when `cell` is a number as JSON writes it (RFC 8259, section 6), so that its
/// digits can be sent as they are.
pub(super) fn is_number(cell: &str) -> bool {
    let rest = cell.strip_prefix('-').unwrap_or(cell);
    let Some((whole, rest)) = digits(rest) else {
        return false;
    };
    if whole.len() > 1 && whole.starts_with('0') {
        return false;
    }
    let rest = match rest.strip_prefix('.').map(digits) {
        Some(Some((_, rest))) => rest,
        Some(None) => return false,
        None => rest,
    };
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            digits(exponent).is_some_and(|(_, rest)| rest.is_empty())
        }
        None => rest.is_empty(),
    }
}

/// The digits that `text` begins with, at least one, and what follows them.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for cell in [
            "0",
            "-0",
            "7",
            "32.0",
            "-1.5e-7",
            "1e5",
            "1E+05",
            "0.0547110",
            "12345678901234567890",
        ] {
            assert!(is_number(cell), "{cell}");
            assert!(
                serde_json::from_str::<serde_json::Number>(cell).is_ok(),
                "{cell}"
            );
        }
        for cell in [
            "", "-", "007", "00", ".5", "5.", "+1", "1e", "1e+", "NaN", "inf", "0x1", "1 ", "1,5",
            "1_0", "٣",
        ] {
            assert!(!is_number(cell), "{cell}");
            assert!(
                cell.trim() != cell || serde_json::from_str::<serde_json::Number>(cell).is_err(),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_cell_keeps_its_digits_and_its_meaning() {
        for (cell, expected) in [
            ("32.0", r#""c":32.0"#),
            ("0.0547110", r#""c":0.0547110"#),
            ("1e5", r#""c":1e5"#),
            ("007", r#""c":"007""#),
            ("NaN", r#""c":"NaN""#),
            ("true", r#""c":true"#),
            ("True", r#""c":"True""#),
            ("", r#""c":null"#),
            ("2020-03-09 10:14:33", r#""c":"2020-03-09 10:14:33""#),
            ("say \"hi\"\n", r#""c":"say \"hi\"\n""#),
        ] {
            let mut out = Vec::new();
            write_field(&mut out, "c", cell, false);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_time_that_looks_like_a_number_stays_text_when_asked() {
        let mut out = Vec::new();
        write_field(&mut out, "day", "20200309", true);
        assert_eq!(out, br#""day":"20200309""#);
    }
}
