//! Ways in for the fuzz targets in `fuzz/`, and for the tests that run the same checks.

use crate::config::{PayloadFormat, StreamConfig};
use crate::decode::bench::Bench;
pub use crate::wal::fuzz_replay as replay;

/// A stream of each format, whose topics are `j/{site}/{pump}`, `n/{site}/{pump}` (nested JSON as
/// text), `c/{site}/{pump}`, `h/{site}/{pump}` (CSV with a header line), `l/{site}/{pump}` and
/// those of Sparkplug B.
fn streams() -> Vec<StreamConfig> {
    let of = |name: &str, format| {
        let table = format!("fuzz.{name}").parse().expect("the name is valid");
        let mut stream = StreamConfig::new(name, format!("{name}/{{site}}/{{pump}}"), table);
        let declared = [
            ("n", "long"),
            ("i", "int"),
            ("f", "float"),
            ("d", "date"),
            ("at", "timestamp"),
        ];
        stream.columns = declared
            .map(|(n, kind)| (n.to_owned(), kind.to_owned()))
            .into();
        stream.format = format;
        stream.nested = crate::config::Nested::Struct;
        stream
    };
    let mut text = of("n", PayloadFormat::Json);
    text.nested = crate::config::Nested::Text;
    let mut csv = of("c", PayloadFormat::Csv);
    csv.fields = ["ts", "v", "n", "text"].map(str::to_owned).into();
    let mut sparkplug = of("s", PayloadFormat::SparkplugB);
    sparkplug.topic = "spBv1.0/#".to_owned();
    sparkplug.columns.clear();
    vec![
        of("j", PayloadFormat::Json),
        text,
        csv,
        of("h", PayloadFormat::Csv),
        of("l", PayloadFormat::LineProtocol),
        sparkplug,
    ]
}

/// A decoder that is told of every message what became of it.
pub struct Judge(Bench);

impl Default for Judge {
    fn default() -> Self {
        Self(Bench::new(streams()))
    }
}

impl Judge {
    /// Decodes a message: true when it became rows, false when it became a dead letter.
    ///
    /// # Panics
    /// When it became both, neither, or two dead letters.
    pub fn decode(&mut self, topic: &[u8], payload: &[u8]) -> bool {
        let before = self.0.pending();
        self.0.push(topic, payload);
        let after = self.0.pending();
        let dead_letters = after.dead_letters - before.dead_letters;
        let has_rows = after.bytes > before.bytes;
        assert_eq!(
            dead_letters,
            usize::from(!has_rows),
            "{topic:?} {payload:?}"
        );
        has_rows
    }

    /// Makes batches of everything so far: rows, and dead letters.
    ///
    /// # Panics
    /// When what was decoded makes no batches.
    pub fn finish(&mut self) -> (usize, usize) {
        let decoded = self.0.finish();
        let rows: usize = decoded.batches.iter().map(|(_, b)| b.num_rows()).sum();
        assert_eq!(rows, decoded.rows + decoded.dead_letters);
        (decoded.rows, decoded.dead_letters)
    }
}

/// Decodes the messages in `data`, which null bytes part, as of a topic.
///
/// # Panics
/// As [`Judge`].
pub fn decode(topic: &str, data: &[u8]) {
    let mut judge = Judge::default();
    for payload in data.split(|b| *b == 0) {
        judge.decode(topic.as_bytes(), payload);
    }
    judge.finish();
}

/// Decodes `data` as messages of Sparkplug B: a byte for the topic, two for the length, the
/// payload; and again.
///
/// # Panics
/// As [`Judge`].
pub fn decode_sparkplug(mut data: &[u8]) {
    let topics = [
        "NBIRTH/n",
        "NDATA/n",
        "DBIRTH/n/d",
        "DDATA/n/d",
        "DDEATH/n/d",
        "NDEATH/n",
    ];
    let mut judge = Judge::default();
    while let Some(([topic, low, high], rest)) = data.split_first_chunk() {
        let topic = topics[usize::from(*topic) % topics.len()];
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        judge.decode(format!("spBv1.0/g/{topic}").as_bytes(), payload);
        data = rest;
    }
    judge.finish();
}
