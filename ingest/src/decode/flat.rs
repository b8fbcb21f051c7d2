//! A quick way through the JSON that machines send: one flat object, its strings without
//! escapes, its numbers short.
//!
//! It knows when it does not know. Whatever is not plainly of that shape, right or wrong, is
//! left to the full parser, so that both give the same values for what both take.

use std::borrow::Cow;

use super::value::{Field, Value};

/// Decimal digits that fit an `i64` whatever they are.
const MOST_DIGITS: usize = 18;
/// Integers up to here are exact as a double.
const EXACT: u64 = 1 << 53;
/// Powers of ten; all are exact as a double.
const POWERS: [f64; MOST_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// The fields of a flat object; `None` when the full parser has to look.
pub(super) fn object(payload: &[u8]) -> Option<Vec<Field<'_>>> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut scan = Scan { text, at: 0 };
    let mut fields = Vec::with_capacity(16);
    scan.token(b'{')?;
    if scan.peek()? == b'}' {
        scan.at += 1;
        return scan.ended().then_some(fields);
    }
    loop {
        let name = Cow::Borrowed(scan.string()?);
        scan.token(b':')?;
        let value = scan.value()?;
        fields.push((name, value));
        let next = scan.peek()?;
        scan.at += 1;
        match next {
            b',' => {}
            b'}' => return scan.ended().then_some(fields),
            _ => return None,
        }
    }
}

/// A place in the payload.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn token(&mut self, token: u8) -> Option<()> {
        (self.peek()? == token).then(|| self.at += 1)
    }

    fn ended(&mut self) -> bool {
        self.peek().is_none()
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => Some(Value::Text(Cow::Borrowed(self.string()?))),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(value)
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.token(b'"')?;
        let rest = &self.text.as_bytes()[self.at..];
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        if rest[len] != b'"' {
            return None;
        }
        let string = self.text.get(self.at..self.at + len)?;
        self.at += len + 1;
        Some(string)
    }

    /// A number without an exponent that a double or an `i64` holds as it is written.
    fn number(&mut self) -> Option<Value<'a>> {
        let negative = self.byte()? == b'-';
        self.at += usize::from(negative);
        let start = self.at;
        let mut digits = 0;
        self.digits(&mut digits);
        let whole = self.at - start;
        let zero_leads = self.text.as_bytes().get(start) == Some(&b'0');
        if whole == 0 || whole > MOST_DIGITS || (zero_leads && whole > 1) {
            return None;
        }
        match self.byte() {
            Some(b'.') => self.at += 1,
            Some(b'e' | b'E') => return None,
            // Minus zero is a double to the full parser.
            _ if negative && digits == 0 => return None,
            _ => {
                let value = digits as i64;
                return Some(Value::Int(if negative { -value } else { value }));
            }
        }
        let start = self.at;
        self.digits(&mut digits);
        let fraction = self.at - start;
        let too_long = fraction == 0 || whole + fraction > MOST_DIGITS;
        if too_long || matches!(self.byte(), Some(b'e' | b'E')) || digits > EXACT {
            return None;
        }
        // Both are exact, so that their quotient is rounded once: the nearest double there is.
        let value = digits as f64 / POWERS[fraction];
        Some(Value::Float(if negative { -value } else { value }))
    }

    /// Reads digits after those in `value`, which is of no use when they are too many.
    fn digits(&mut self, value: &mut u64) {
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_sends_is_read_here() {
        let fields = object(br#" {"a":1, "b" : -2.50 ,"c":"x","d":true,"e":null,"":false} "#);
        let expected = [
            ("a", Value::Int(1)),
            ("b", Value::Float(-2.5)),
            ("c", Value::Text("x".into())),
            ("d", Value::Bool(true)),
            ("e", Value::Null),
            ("", Value::Bool(false)),
        ];
        let expected = expected.map(|(name, value)| (name.into(), value));
        assert_eq!(fields, Some(expected.to_vec()));
        assert_eq!(object(b"{}"), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_parser() {
        for payload in [
            "",
            "{",
            "{}x",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":tru}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e3}",
            "{\"a\":1.5E3}",
            "{\"a\":-0}",
            "{\"a\":+1}",
            "{\"a\":\"\\n\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":[]}",
            "{\"a\":{}}",
            "{\"a\":9223372036854775807}",
            "{\"a\":1.2345678901234567}",
            "{\"a\":\"x",
            "{\"a\":0.9007199254740993}",
        ] {
            assert_eq!(object(payload.as_bytes()), None, "{payload}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    }
}
