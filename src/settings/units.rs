//! Sizes and durations as people write them: `"512MiB"`, `"5s"`.

/// A number of bytes, written as a plain number or with a unit (`"512MiB"`, `"1 GB"`).
pub(crate) mod bytes {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    // Largest first, so that formatting takes the first unit that divides the value.
    const UNITS: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];

    /// Reads a size; the error says how one is written.
    pub(crate) fn parse(text: &str) -> Result<u64, String> {
        let wrong =
            || format!("{text:?} is not a size: write a number of bytes or, say, \"512MiB\"");
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = text[digits..].trim();
        if unit.is_empty() {
            return Ok(number);
        }
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(wrong)?;
        number.checked_mul(*factor).ok_or_else(wrong)
    }

    /// Writes a size with the largest unit that holds it exactly.
    pub(crate) fn format(size: u64) -> String {
        UNITS
            .iter()
            .find(|(_, factor)| size >= *factor && size.is_multiple_of(*factor))
            .map_or_else(
                || size.to_string(),
                |(name, factor)| format!("{}{name}", size / factor),
            )
    }

    pub(crate) fn serialize<S: Serializer>(size: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*size))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        struct Size;
        impl de::Visitor<'_> for Size {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 1048576 or \"512MiB\"")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
                Ok(value)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
                u64::try_from(value).map_err(|_| E::custom("a size cannot be negative"))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
                parse(value).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

/// A duration with its unit (`"500ms"`, `"5s"`, `"2m"`, `"1h"`).
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    // Milliseconds per unit, largest first.
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];

    /// Reads a duration; the error says how one is written.
    pub(crate) fn parse(text: &str) -> Result<Duration, String> {
        let wrong =
            || format!("{text:?} is not a duration: write, say, \"500ms\", \"5s\" or \"2m\"");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = text[digits..].trim();
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number
            .checked_mul(*factor)
            .map(Duration::from_millis)
            .ok_or_else(wrong)
    }

    /// Writes a duration with the largest unit that holds it exactly.
    pub(crate) fn format(duration: Duration) -> String {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        UNITS
            .iter()
            .find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor))
            .map_or_else(
                || "0s".to_owned(),
                |(name, factor)| format!("{}{name}", millis / factor),
            )
    }

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// An optional text where empty means not set, as environment files write it.
pub(crate) mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<String>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok((!text.is_empty()).then(|| T::from(text)))
    }
}

/// An optional value in text form where empty means not set, such as an address.
pub(crate) mod parsed {
    use std::fmt::Display;
    use std::marker::PhantomData;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer, T: Display>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr<Err: Display>> de::Visitor<'_> for Text<T> {
            type Value = Option<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value, or an empty text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let text = text.trim();
                if text.is_empty() {
                    return Ok(None);
                }
                let wrong = |e| E::custom(format!("{text:?}: {e}"));
                text.parse().map(Some).map_err(wrong)
            }
            // A switch is written as true or false where the format has them.
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                self.visit_str(if value { "true" } else { "false" })
            }
        }
        deserializer.deserialize_any(Text(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration};

    #[test]
    fn sizes_read_and_write_alike() {
        for (text, size) in [
            ("512MiB", 512 << 20),
            ("1kB", 1000),
            ("0", 0),
            ("1537B", 1537),
            ("4 GiB", 4 << 30),
        ] {
            assert_eq!(bytes::parse(text), Ok(size), "{text}");
            assert_eq!(bytes::parse(&bytes::format(size)), Ok(size), "{text}");
        }
        assert_eq!(bytes::format(512 << 20), "512MiB");
        for text in ["", "MiB", "-1", "1.5GiB", "12 parsecs", "99999999999TiB"] {
            assert!(bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_and_write_alike() {
        for (text, millis) in [
            ("500ms", 500),
            ("5s", 5000),
            ("2m", 120_000),
            ("90s", 90_000),
            ("0s", 0),
        ] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration::parse(text), Ok(value), "{text}");
            assert_eq!(
                duration::parse(&duration::format(value)),
                Ok(value),
                "{text}"
            );
        }
        for text in ["", "5", "s", "1.5s", "5 fortnights"] {
            assert!(duration::parse(text).is_err(), "{text}");
        }
    }
}
