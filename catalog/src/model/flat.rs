//! A whole state as sorted lines of text, searched in place.
//!
//! The first line is JSON: the format, the number of keys, the watermarks. Every further line is
//! `namespace TAB name TAB content`, the content as JSON on one line; a TAB sorts before whatever
//! a name may hold, so the order of the lines is the order of the keys. Nothing but the first
//! line is parsed until it is asked for: a lakehouse of ten thousand tables opens as fast as its
//! bytes arrive.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Content, FORMAT, Key, check_format};
use crate::{Error, Result};

/// How much is compared at once when two states are compared.
const CHUNK: usize = 4096;

/// A state as sorted lines; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Flat {
    /// All lines, each with its newline, without the header.
    lines: Bytes,
    header: Header,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    keys: usize,
    watermarks: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<Uuid>,
}

/// One line, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// Both names with the TAB after each: what lines are ordered by.
    pub(crate) fn name(self) -> &'a [u8] {
        let tabs = self.0.iter().enumerate().filter(|(_, b)| **b == b'\t');
        let end = tabs.map(|(at, _)| at + 1).nth(1);
        &self.0[..end.unwrap_or(self.0.len())]
    }

    /// The key; `Corrupt` when the line has none.
    pub(crate) fn key(self) -> Result<Key> {
        let text = std::str::from_utf8(self.name()).map_err(|_| self.unreadable())?;
        let mut names = text.split('\t').map(str::to_string);
        match (names.next(), names.next(), names.next()) {
            (Some(namespace), Some(name), Some(_)) => Ok(Key { namespace, name }),
            _ => Err(self.unreadable()),
        }
    }

    /// What the key points to; `Corrupt` when it cannot be read.
    pub(crate) fn content(self) -> Result<Content> {
        serde_json::from_slice(&self.0[self.name().len()..])
            .map_err(|e| self.unreadable().with_source(e))
    }

    fn unreadable(self) -> Error {
        let line = String::from_utf8_lossy(&self.0[..self.0.len().min(80)]);
        Error::corrupt(format!("a checkpoint has the unreadable line {line:?}"))
    }
}

/// Writes a [`Flat`]; lines must come in order.
#[derive(Debug, Default)]
pub(crate) struct FlatBuilder {
    lines: Vec<u8>,
    keys: usize,
}

impl FlatBuilder {
    /// Adds a line as it is.
    pub(crate) fn line(&mut self, line: Line<'_>) {
        self.lines.extend_from_slice(line.0);
        self.end_line();
    }

    /// Adds a key and what it points to.
    pub(crate) fn entry(&mut self, key: &Key, content: &Content) -> Result<()> {
        self.lines.extend_from_slice(&line_name(key));
        serde_json::to_writer(&mut self.lines, content)
            .map_err(|e| Error::internal("cannot write a content as JSON").with_source(e))?;
        self.end_line();
        Ok(())
    }

    fn end_line(&mut self) {
        self.lines.push(b'\n');
        self.keys += 1;
    }

    /// The finished state with these watermarks.
    pub(crate) fn finish(self, watermarks: BTreeMap<String, u64>) -> Flat {
        Flat {
            lines: self.lines.into(),
            header: Header {
                format: FORMAT,
                keys: self.keys,
                watermarks,
                nonce: None,
            },
        }
    }
}

/// What the line of `key` begins with.
pub(crate) fn line_name(key: &Key) -> Vec<u8> {
    format!("{}\t{}\t", key.namespace, key.name).into_bytes()
}

impl Flat {
    /// A state without any key.
    pub(crate) fn empty() -> Self {
        FlatBuilder::default().finish(BTreeMap::new())
    }

    /// The stored form. With a nonce its name is one that no equal state ever had: an equal
    /// checkpoint may be being collected. Without one equal states have equal bytes.
    pub(crate) fn to_bytes(&self, nonce: Option<Uuid>) -> Result<Vec<u8>> {
        let header = Header {
            nonce,
            ..self.header.clone()
        };
        let mut bytes = serde_json::to_vec(&header)
            .map_err(|e| Error::internal("cannot write a checkpoint").with_source(e))?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.lines);
        Ok(bytes)
    }

    /// The state from its stored form; `what` names it in errors.
    pub(crate) fn open(what: &str, bytes: &Bytes) -> Result<Self> {
        let end = bytes.iter().position(|b| *b == b'\n');
        let end = end.ok_or_else(|| Error::corrupt(format!("{what} has no first line")))?;
        check_format(what, &bytes[..end])?;
        let header = serde_json::from_slice(&bytes[..end])
            .map_err(|e| Error::corrupt(format!("{what} is not readable")).with_source(e))?;
        let lines = bytes.slice(end + 1..);
        if !lines.is_empty() && !lines.ends_with(b"\n") {
            return Err(Error::corrupt(format!("{what} ends within a line")));
        }
        Ok(Self { lines, header })
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.header.keys
    }

    /// The watermark of every ingester.
    pub(crate) fn watermarks(&self) -> &BTreeMap<String, u64> {
        &self.header.watermarks
    }

    /// The line of `key`.
    pub(crate) fn find(&self, key: &Key) -> Option<Line<'_>> {
        let name = line_name(key);
        let line = self.lines_from(&name).next()?;
        (line.name() == name).then_some(line)
    }

    /// The lines from the first that is not before `start`.
    pub(crate) fn lines_from(&self, start: &[u8]) -> impl Iterator<Item = Line<'_>> {
        lines(&self.lines[self.lower_bound(start)..])
    }

    /// Where the first line begins that is not before `start`: by halving.
    fn lower_bound(&self, start: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.lines.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let begin = line_begin(&self.lines, middle);
            let line = &self.lines[begin..];
            let length = line.iter().position(|b| *b == b'\n').unwrap_or(line.len());
            match &line[..length] < start {
                true => low = begin + length + 1,
                false => high = begin,
            }
        }
        low
    }

    /// The keys whose lines differ, in order. What both have alike at the beginning and at the
    /// end, which is nearly all after a small change, is passed over at the speed of memory.
    pub(crate) fn differing(&self, other: &Self) -> Result<Vec<Key>> {
        let (a, b) = trim(&self.lines, &other.lines);
        let (mut a, mut b) = (lines(a).peekable(), lines(b).peekable());
        let mut keys = Vec::new();
        loop {
            let (x, y) = match (a.peek(), b.peek()) {
                (None, None) => return Ok(keys),
                (x, y) => (x.copied(), y.copied()),
            };
            let order = match (x, y) {
                (Some(x), Some(y)) => x.name().cmp(y.name()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            let x = x.and_then(|_| a.next_if(|_| order.is_le()));
            let y = y.and_then(|_| b.next_if(|_| order.is_ge()));
            if let Some(line) = x.or(y).filter(|_| x != y) {
                keys.push(line.key()?);
            }
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    bytes
        .split_inclusive(|b| *b == b'\n')
        .map(|line| Line(&line[..line.len() - 1]))
}

/// Where the line holding byte `at` begins.
fn line_begin(bytes: &[u8], at: usize) -> usize {
    let newline = bytes[..at].iter().rposition(|b| *b == b'\n');
    newline.map_or(0, |newline| newline + 1)
}

/// Both without the whole lines they have in common at either end.
fn trim<'a>(a: &'a [u8], b: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let chunks = a.chunks(CHUNK).zip(b.chunks(CHUNK));
    let equal = chunks.take_while(|(x, y)| x == y && x.len() == CHUNK);
    let begin = line_begin(a, equal.count() * CHUNK);
    let (a, b) = (&a[begin..], &b[begin..]);
    let chunks = a.rchunks(CHUNK).zip(b.rchunks(CHUNK));
    let equal = chunks.take_while(|(x, y)| x == y && x.len() == CHUNK);
    let tail = equal.count() * CHUNK;
    // Back to the end of a line: what follows the first newline of the tail is whole lines.
    let newline = a[a.len() - tail..].iter().position(|b| *b == b'\n');
    let tail = newline.map_or(0, |newline| tail - newline - 1);
    (&a[..a.len() - tail], &b[..b.len() - tail])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(value: u8) -> Content {
        Content::Namespace {
            properties: BTreeMap::from([("a\tb".into(), format!("line\n{value}"))]),
        }
    }

    fn build(entries: &BTreeMap<Key, u8>) -> Flat {
        let mut builder = FlatBuilder::default();
        for (key, value) in entries {
            builder.entry(key, &content(*value)).unwrap();
        }
        builder.finish(BTreeMap::from([("i".into(), 7)]))
    }

    fn states() -> impl Strategy<Value = BTreeMap<Key, u8>> {
        let key = ("[a-c][-$._a]{0,2}", "([a-c][-$0a]{0,2})?");
        let key = key.prop_map(|(namespace, name)| Key {
            namespace: namespace.replace('.', ""),
            name,
        });
        prop::collection::btree_map(key, 0..3_u8, 0..120)
    }

    proptest! {
        #[test]
        fn lines_are_found_and_compared_as_in_a_map(a in states(), b in states(), base in states()) {
            let (mut a, mut b) = (a, b);
            a.extend(base.clone());
            b.extend(base);
            let bytes = Bytes::from(build(&a).to_bytes(None).unwrap());
            let flat = Flat::open("it", &bytes).unwrap();
            assert_eq!((flat.len(), flat.watermarks()["i"]), (a.len(), 7));
            for key in a.keys().chain(b.keys()) {
                let found = flat.find(key).map(|line| line.content().unwrap());
                assert_eq!(found, a.get(key).map(|value| content(*value)));
            }
            let keys: Vec<_> = flat.lines_from(b"").map(|line| line.key().unwrap()).collect();
            assert!(keys.iter().eq(a.keys()));
            let either: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let expected: Vec<_> = either.into_iter().filter(|k| a.get(*k) != b.get(*k)).cloned().collect();
            assert_eq!(flat.differing(&build(&b)).unwrap(), expected);
        }
    }

    #[test]
    fn a_torn_state_is_corrupt() {
        let entries = BTreeMap::from([(Key::new("a", "b").unwrap(), 1)]);
        let bytes = build(&entries).to_bytes(None).unwrap();
        for bytes in [&bytes[..0], &bytes[..bytes.len() - 3], b"{}\n"] {
            let error = Flat::open("it", &Bytes::copy_from_slice(bytes)).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{error}");
        }
    }
}
