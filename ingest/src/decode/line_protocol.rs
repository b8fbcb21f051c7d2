//! InfluxDB line protocol v2: `measurement,tag=value field=1.5,other=2i 1700000000000000000`.
//!
//! Unlike InfluxDB this takes whole payloads: a line that is wrong makes the message wrong.

use std::borrow::Cow;

use super::kind::Kind;
use super::value::{Value, shorten};

/// One line: a point.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Name, value, and the type that its notation has.
    pub(super) fields: Vec<(Cow<'a, str>, Value<'a>, Kind)>,
    /// In the unit of the stream.
    pub(super) time: Option<i64>,
}

/// The lines of a payload.
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    /// # Errors
    /// When the payload is no text.
    pub(super) fn new(payload: &'a [u8]) -> Result<Self, String> {
        let rest = std::str::from_utf8(payload).map_err(|e| format!("not line protocol: {e}"))?;
        Ok(Self { rest, number: 0 })
    }

    /// The next line that is not empty and no comment.
    ///
    /// # Errors
    /// Where the payload is no line protocol, and why.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, String> {
        loop {
            self.rest = self.rest.trim_start();
            self.number += 1;
            if self.rest.is_empty() {
                return Ok(None);
            }
            if !self.rest.starts_with('#') {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, after)| after);
        }
        let number = self.number;
        let line = self.line();
        line.map(Some)
            .map_err(|why| format!("not line protocol: line {number}: {why}"))
    }

    fn line(&mut self) -> Result<Line<'a>, String> {
        let measurement = self.name(&[',', ' '], "a measurement")?;
        let mut tags = Vec::new();
        while self.skip(',') {
            let key = self.name(&['='], "a tag's name")?;
            self.expect('=')?;
            tags.push((key, self.name(&[',', ' '], "a tag's value")?));
        }
        self.expect(' ')?;
        self.blanks();
        let mut fields = vec![self.field()?];
        while self.skip(',') {
            fields.push(self.field()?);
        }
        self.blanks();
        let time = self.time()?;
        self.blanks();
        self.skip('\r');
        if !self.rest.is_empty() {
            self.expect('\n')?;
        }
        Ok(Line {
            measurement,
            tags,
            fields,
            time,
        })
    }

    fn field(&mut self) -> Result<(Cow<'a, str>, Value<'a>, Kind), String> {
        let name = self.name(&['='], "a field's name")?;
        self.expect('=')?;
        if self.skip('"') {
            return Ok((name, Value::Text(self.quoted()?), Kind::String));
        }
        let end = self.rest.find([',', ' ', '\n', '\r']);
        let (text, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let wrong = || format!("'{}' is no field value", shorten(text));
        let (value, kind) = scalar(text).ok_or_else(wrong)?;
        self.rest = after;
        Ok((name, value, kind))
    }

    /// The text up to the quote that ends it; only quotes and backslashes are escaped.
    fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let mut escaped = false;
        let end = self.rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (end, _) = end.ok_or("a quote is not closed")?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(unescaped(text, &['"', '\\']))
    }

    /// The text up to one of `ends`, which may be escaped in it.
    fn name(&mut self, ends: &[char], what: &str) -> Result<Cow<'a, str>, String> {
        let mut escaped = false;
        let mut chars = self.rest.char_indices();
        let end = chars.find(|(_, c)| {
            let ends = *c == '\n' || (!escaped && matches!(c, ',' | '=' | ' ') && is_end(*c, ends));
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (text, after) = self
            .rest
            .split_at(end.map_or(self.rest.len(), |(at, _)| at));
        if text.is_empty() {
            return Err(format!("{what} is empty"));
        }
        self.rest = after;
        Ok(unescaped(text, &[',', '=', ' ']))
    }

    fn time(&mut self) -> Result<Option<i64>, String> {
        let end = self.rest.find([' ', '\n', '\r']).unwrap_or(self.rest.len());
        let (text, after) = self.rest.split_at(end);
        if text.is_empty() {
            return Ok(None);
        }
        self.rest = after;
        let time = text.parse();
        time.map(Some)
            .map_err(|_| format!("'{}' is no timestamp", shorten(text)))
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip(&mut self, c: char) -> bool {
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        match self.skip(c) {
            true => Ok(()),
            false => Err(format!("{c:?} is missing")),
        }
    }
}

/// Whether a character ends a name. A blank always does: in a tag's or field's name it stands for
/// a forgotten value.
fn is_end(c: char, ends: &[char]) -> bool {
    c == ' ' || ends.contains(&c)
}

fn unescaped<'a>(text: &'a str, escapes: &[char]) -> Cow<'a, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().filter(|next| escapes.contains(next));
        match next.filter(|_| c == '\\') {
            Some(next) => {
                out.push(next);
                chars.next();
            }
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A value that is no text.
fn scalar<'a>(text: &str) -> Option<(Value<'a>, Kind)> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some((Value::Bool(true), Kind::Boolean)),
        "f" | "F" | "false" | "False" | "FALSE" => {
            return Some((Value::Bool(false), Kind::Boolean));
        }
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return Some((Value::Int(digits.parse().ok()?), Kind::Long));
    }
    if let Some(digits) = text.strip_suffix('u') {
        let value: u64 = digits.parse().ok()?;
        return Some((
            i64::try_from(value).map_or(Value::UInt(value), Value::Int),
            Kind::Long,
        ));
    }
    let value: f64 = text.parse().ok()?;
    // InfluxDB has no NaN and no infinity either.
    value
        .is_finite()
        .then_some((Value::Float(value), Kind::Double))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &str) -> Result<Vec<Line<'_>>, String> {
        let mut lines = Lines::new(payload.as_bytes())?;
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(line);
        }
        Ok(all)
    }

    #[test]
    fn a_line_has_all_its_parts() {
        let line = r#"my\ pump,si\=te=north\,2,pump=p\ 7 temp=1.5,n=-3i,u=18446744073709551615u,on=t,mode="a \"b\" \\ c, d=e" 17"#;
        let parsed = parse(line).unwrap().remove(0);
        assert_eq!(parsed.measurement, "my pump");
        let tags: Vec<_> = parsed
            .tags
            .iter()
            .map(|(k, v)| (k.as_ref(), v.as_ref()))
            .collect();
        assert_eq!(tags, [("si=te", "north,2"), ("pump", "p 7")]);
        let values: Vec<_> = parsed
            .fields
            .iter()
            .map(|(_, value, _)| value.clone())
            .collect();
        let text = Value::Text("a \"b\" \\ c, d=e".into());
        let expected = [
            Value::Float(1.5),
            Value::Int(-3),
            Value::UInt(u64::MAX),
            Value::Bool(true),
            text,
        ];
        assert_eq!(values, expected);
        assert_eq!(parsed.time, Some(17));
    }

    #[test]
    fn lines_comments_and_line_ends() {
        let payload = "# comment, a=b\n\na v=1\r\n  b v=\"x\ny\"  -5 \n#end";
        let parsed = parse(payload).unwrap();
        assert_eq!(parsed.len(), 2);
        assert_eq!(parsed[0].time, None);
        assert_eq!(parsed[1].time, Some(-5));
        assert_eq!(parsed[1].fields[0].1, Value::Text("x\ny".into()));
        assert!(parse("").unwrap().is_empty());
        let kept = parse(r"a\b v=1").unwrap();
        assert_eq!(kept[0].measurement, r"a\b");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for payload in [
            "a",
            "a ",
            "a v",
            "a v=",
            "a v=x",
            "a v=1,",
            "a v=1 x",
            "a v=1 1 1",
            ",t=1 v=1",
            "a,t v=1",
            "a,=x v=1",
            "a,t= v=1",
            "a v=\"x",
            "a v=1i2",
            "a v=nan",
            "a v=inf",
            "a v=1e999",
            "a v=9223372036854775808i",
            "a v=-1u",
            "a =1",
            "a v=1\"x\"",
            "a v=\"x\"y",
            "a\nb v=1",
            "a v=1 99999999999999999999",
            "\\",
        ] {
            assert!(parse(payload).is_err(), "{payload}");
        }
        assert!(Lines::new(b"a v=\xff").is_err());
    }
}
