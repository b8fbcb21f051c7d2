//! Opening a log: reads what is there, cuts a torn tail, notes what damage lost.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::Result;

use super::dedup::DedupWindow;
use super::record::HEADER;
use super::segment::{self, Loss, MAGIC, Scanner, Segment, Step};

/// A log as it was found.
pub(super) struct Recovered {
    /// Segments that hold records, oldest first.
    pub(super) segments: Vec<Segment>,
    /// Files of segments that hold none; they tell positions, so they go after the next one is made.
    pub(super) empty: Vec<PathBuf>,
    /// The position the next record gets: above every one ever handed out.
    pub(super) next: u64,
    /// The last messages logged.
    pub(super) window: DedupWindow,
    /// What damage cost.
    pub(super) losses: Vec<Loss>,
}

/// Reads every segment in `dir`.
///
/// # Errors
/// File errors, and `Unsupported` for a log of another version. Damage is not an error here: it is
/// in [`Recovered::losses`].
pub(super) fn recover(dir: &Path, window: DedupWindow) -> Result<Recovered> {
    let mut found = Recovered {
        segments: Vec::new(),
        empty: Vec::new(),
        next: 1,
        window,
        losses: Vec::new(),
    };
    let files = segment::list(dir)?;
    for (index, (base, path)) in files.iter().enumerate() {
        let limit = files.get(index + 1).map(|(next, _)| *next);
        let segment = found.read(*base, path, limit)?;
        found.next = found.next.max(segment.last + 1);
        if segment.last < segment.base {
            found.empty.push(segment.path);
        } else {
            found.segments.push(segment);
        }
    }
    Ok(found)
}

impl Recovered {
    /// Reads one segment; `limit` is the base of the segment after it, if there is one.
    fn read(&mut self, base: u64, path: &Path, limit: Option<u64>) -> Result<Segment> {
        let bytes = std::fs::read(path).map_err(|e| segment::io_error("read", path, e))?;
        let mut segment = Segment {
            base,
            last: base - 1,
            bytes: bytes.len() as u64,
            tracked: 0,
            path: path.to_owned(),
        };
        let mut scanner = Scanner::new(Bytes::from(bytes), base, path)?;
        while let Some(step) = scanner.next() {
            match step {
                Step::Record(record) => {
                    segment.last = record.position;
                    segment.tracked += usize::from(record.message.packet_id != 0);
                    self.window.insert(&record.message);
                }
                Step::Lost { offset, from, to } => self.lose(path, offset, from, to),
                Step::Torn { offset } => match limit {
                    Some(limit) => {
                        let from = scanner.expected();
                        self.lose(path, offset, from, limit.saturating_sub(1).max(from));
                    }
                    None => self.cut(&mut segment, offset)?,
                },
            }
        }
        Ok(segment)
    }

    fn lose(&mut self, path: &Path, offset: usize, from: u64, to: u64) {
        let path = path.to_owned();
        self.losses.push(Loss {
            path,
            offset,
            from,
            to,
        });
    }

    /// Cuts the last segment where its whole records end.
    fn cut(&mut self, segment: &mut Segment, offset: usize) -> Result<()> {
        let torn = segment.bytes as usize - offset;
        tracing::warn!(
            file = %segment.path.display(),
            offset,
            bytes = torn,
            "the log ends in a torn record, which was never acknowledged: cut"
        );
        OpenOptions::new()
            .write(true)
            .open(&segment.path)
            .and_then(|file| {
                file.set_len(offset.max(MAGIC.len()) as u64)?;
                file.sync_all()
            })
            .map_err(|e| segment::io_error("truncate", &segment.path, e))?;
        segment.bytes = offset as u64;
        // Were the tail damaged rather than torn, its positions may be committed: never reuse them.
        self.next = segment.last + 2 + (torn / HEADER) as u64;
        Ok(())
    }
}
