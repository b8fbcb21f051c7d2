//! Spans of time as people write them in a spec: `"90s"`, `"12h"`, `"7d"`.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The units and their microseconds, the largest first.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

/// A span of time, not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    micros: i64,
}

impl Span {
    /// Its microseconds.
    pub fn micros(self) -> i64 {
        self.micros
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no span of time: write it as \"90s\", \"12h\" or \"7d\"");
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(wrong)?;
        let (number, unit) = trimmed.split_at(digits);
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        let (_, micros) = unit.ok_or_else(wrong)?;
        let micros = number.checked_mul(*micros).ok_or_else(wrong)?;
        Ok(Span { micros })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fitting = UNITS.iter().find(|(_, unit)| self.micros % unit == 0);
        let (name, unit) = fitting.unwrap_or(&("ms", 1_000));
        serializer.collect_str(&format_args!("{}{name}", self.micros / unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_alike() {
        for text in ["90s", "12h", "7d", "250ms", "45m"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(serde_json::to_value(span).unwrap(), text);
        }
        assert_eq!("7 d".parse::<Span>().unwrap().micros(), 604_800_000_000);
        for text in ["", "7", "d", "-1d", "1.5h", "1w", "99999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
