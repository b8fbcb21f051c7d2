//! Lengths of simulated time as people write them: `500ms`, `10s`, `15m`, `24h`, `7d`.

use chrono::TimeDelta;

/// Milliseconds per unit.
const UNITS: [(&str, i64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a length of time; the error says how one is written.
pub(super) fn parse(text: &str) -> Result<TimeDelta, String> {
    let wrong = || "write a length of time as 500ms, 10s, 15m, 24h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: i64 = text[..digits].parse().map_err(|_| wrong())?;
    let (_, unit) = UNITS
        .iter()
        .find(|(name, _)| *name == &text[digits..])
        .ok_or_else(wrong)?;
    number
        .checked_mul(*unit)
        .and_then(TimeDelta::try_milliseconds)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse(text),
                Ok(TimeDelta::milliseconds(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "10", "s", "-1s", "1.5h", "1 week", "99999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
