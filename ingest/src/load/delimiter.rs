//! What separates the cells of a CSV file.

use std::str::FromStr;

/// What separates the cells of a CSV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// The one of the usual characters that the first line has most of.
    #[default]
    Auto,
    /// This character.
    Character(u8),
}

impl Delimiter {
    /// The character for a file whose text begins with `start`.
    pub fn of(self, start: &[u8]) -> u8 {
        let line = start
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        match self {
            Self::Character(character) => character,
            Self::Auto => guess(line),
        }
    }
}

fn guess(line: &[u8]) -> u8 {
    let count = |delimiter: u8| {
        let mut quoted = false;
        let mut count = 0;
        for byte in line {
            quoted ^= *byte == b'"';
            count += usize::from(*byte == delimiter && !quoted);
        }
        count
    };
    // The comma comes last: of equals the last is taken.
    let likely = [b'|', b'\t', b';', b','];
    let best = likely.into_iter().max_by_key(|delimiter| count(*delimiter));
    best.unwrap_or(b',')
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            b"auto" => Ok(Self::Auto),
            b"tab" | b"\\t" => Ok(Self::Character(b'\t')),
            [character] if character.is_ascii() && !matches!(character, b'"' | b'\r' | b'\n') => {
                Ok(Self::Character(*character))
            }
            _ => Err("give one character such as ; or the words tab or auto".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells() {
        for (start, expected) in [
            ("a,b\n1;2;3;4", b','),
            ("a;b;c,d\n", b';'),
            ("a\tb", b'\t'),
            ("a|b|c", b'|'),
            ("\"a;b;c\",d", b','),
            ("alone", b','),
            ("", b','),
        ] {
            assert_eq!(Delimiter::Auto.of(start.as_bytes()), expected, "{start:?}");
        }
        assert_eq!("tab".parse::<Delimiter>().unwrap().of(b"a,b"), b'\t');
        assert!("ab".parse::<Delimiter>().is_err() && "\"".parse::<Delimiter>().is_err());
    }
}
