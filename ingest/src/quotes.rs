//! Where the quotes of CSV stand, byte by byte: its parser takes any text for CSV, and the rest of a
//! file for one value where a quote is not closed.

/// Follows the quotes of CSV text (RFC 4180) that comes in pieces.
#[derive(Debug)]
pub(crate) struct Quotes {
    delimiter: u8,
    place: Place,
    stray: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value.
    Start,
    /// In one without quotes.
    Plain,
    /// In one with quotes.
    Quoted,
    /// After a quote in one: it is closed, unless another quote follows.
    Closed,
}

impl Quotes {
    /// At the start of the text.
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Start,
            stray: false,
        }
    }

    /// Goes on by `text`.
    pub(crate) fn follow(&mut self, text: &[u8]) {
        for byte in text {
            self.place = match (self.place, *byte) {
                (Place::Start | Place::Closed, b'"') => Place::Quoted,
                (Place::Quoted, b'"') => Place::Closed,
                (Place::Quoted, _) => Place::Quoted,
                (_, b'\n' | b'\r') => Place::Start,
                (_, byte) if byte == self.delimiter => Place::Start,
                (place, byte) => {
                    self.stray |= place == Place::Closed || byte == b'"';
                    Place::Plain
                }
            };
        }
    }

    /// Whether a value is still open.
    pub(crate) fn is_open(&self) -> bool {
        self.place == Place::Quoted
    }

    /// Whether a quote stood within a value without quotes, or something after a closing one.
    pub(crate) fn is_stray(&self) -> bool {
        self.stray
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quotes(text: &[u8]) -> (bool, bool) {
        let mut quotes = Quotes::new(b',');
        // In pieces, as from a file.
        for piece in text.chunks(3) {
            quotes.follow(piece);
        }
        (quotes.is_open(), quotes.is_stray())
    }

    #[test]
    fn quotes_stand_around_values() {
        for text in ["", "a,b", "\"a\",\"\"\r\n\"b \"\"c\"\"\nd\"\n", "\"\"\"\""] {
            assert_eq!(quotes(text.as_bytes()), (false, false), "{text}");
        }
        for text in ["\"", "a,\"b", "\"a\"\"", "\"a\n\nb,c"] {
            assert_eq!(quotes(text.as_bytes()), (true, false), "{text}");
        }
        for text in ["5\" pipe", "\"a\"b", "\"a\" ,b", " \"a\""] {
            assert_eq!(quotes(text.as_bytes()), (false, true), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_writer_writes_is_right(rows: Vec<(String, String)>) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for (a, b) in &rows {
                writer.write_record([a, b]).unwrap();
            }
            let text = writer.into_inner().unwrap();
            prop_assert_eq!(quotes(&text), (false, false));
        }
    }
}
