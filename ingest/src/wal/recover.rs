//! Opening a log: reads what is there, leaves a torn tail aside, notes what damage lost. It writes
//! nothing, so that a log opens on a full disk too.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use catalog::Result;

use super::dedup::Redeliveries;
use super::header;
use super::record::{self, HEADER};
use super::segment::{self, Loss, Scanner, Segment, Step};

/// A log as it was found.
pub(super) struct Recovered {
    /// Segments that hold records, oldest first.
    pub(super) segments: Vec<Segment>,
    /// Files of segments that hold none; they tell positions, so they go after the next one is made.
    pub(super) empty: Vec<PathBuf>,
    /// The position the next record gets: above every one ever handed out.
    pub(super) next: u64,
    /// The position of the last record before the first segment, when that is known.
    pub(super) before: Option<u64>,
    /// Everything up to here was found, was lost, or was never a record.
    covered: u64,
    /// Where the segment read last ends, and whether that is its last record's end.
    end: Option<End>,
    /// The last messages logged.
    pub(super) window: Redeliveries,
    /// What damage cost.
    pub(super) losses: Vec<Loss>,
}

struct End {
    path: PathBuf,
    offset: usize,
    whole: bool,
}

/// Reads every segment in `dir`, and brings to disk what a killed process may have left unsynced.
///
/// # Errors
/// File errors, and `Unsupported` for a log of another version. Damage is not an error here: it is
/// in [`Recovered::losses`].
pub(super) fn recover(dir: &Path, window: Redeliveries) -> Result<Recovered> {
    let mut found = Recovered {
        segments: Vec::new(),
        empty: Vec::new(),
        next: 1,
        before: None,
        covered: 0,
        end: None,
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
    if let Some(last) = found.segments.last() {
        // A redelivery of what stands there is acknowledged without another write.
        File::open(&last.path)
            .and_then(|file| file.sync_all())
            .map_err(|e| segment::io_error("sync", &last.path, e))?;
    }
    Ok(found)
}

impl Recovered {
    /// The position of the last record ever logged, as far as is known.
    pub(super) fn last(&self) -> u64 {
        self.covered
    }

    /// Reads one segment; `limit` is the base of the segment after it, if there is one.
    fn read(&mut self, base: u64, path: &Path, limit: Option<u64>) -> Result<Segment> {
        let bytes = std::fs::read(path).map_err(|e| segment::io_error("read", path, e))?;
        let bytes = Bytes::from(bytes);
        let (start, header) = header::read(&bytes, path)?;
        self.begin(base, header.map(|header| header.previous));
        let mut segment = Segment {
            base,
            last: base - 1,
            bytes: bytes.len() as u64,
            start: start as u64,
            run: header.map(|header| header.run),
            tracked: 0,
            path: path.to_owned(),
        };
        let mut end = End {
            path: path.to_owned(),
            offset: bytes.len(),
            whole: true,
        };
        let beyond = |position: u64| limit.is_some_and(|limit| position >= limit);
        let mut scanner = Scanner::new(bytes.clone(), start, base);
        while let Some(step) = scanner.next() {
            match step {
                // The remains of a failed write, which was repeated in the next segment.
                Step::Record(record) if beyond(record.position) => break,
                Step::Lost { from, .. } if beyond(from) => break,
                Step::Record(record) => {
                    segment.last = record.position;
                    self.covered = self.covered.max(record.position);
                    segment.tracked += usize::from(record.message.packet_id != 0);
                    self.window.insert(&record.message);
                }
                Step::Lost { offset, from, to } => self.lose(path, offset, from, to),
                Step::Torn { offset } => {
                    end.offset = offset;
                    end.whole = false;
                    if limit.is_none() {
                        self.tail(&segment, &bytes, offset, scanner.expected());
                    }
                }
            }
        }
        self.end = Some(end);
        Ok(segment)
    }

    /// Notes what is missing between the segment read last and the one at `base`, before which
    /// `previous` was the last record.
    fn begin(&mut self, base: u64, previous: Option<u64>) {
        let Some(end) = self.end.take() else {
            self.before = previous;
            self.covered = previous.unwrap_or(base - 1);
            return;
        };
        let to = match previous {
            Some(previous) => previous,
            None if end.whole => self.covered,
            None => base - 1,
        };
        if to > self.covered {
            self.lose(&end.path, end.offset, self.covered + 1, to);
        }
    }

    fn lose(&mut self, path: &Path, offset: usize, from: u64, to: u64) {
        self.covered = self.covered.max(to);
        self.losses.push(Loss {
            path: path.to_owned(),
            offset,
            from,
            to,
            acknowledged: true,
        });
    }

    /// Looks at what follows the last whole record of the log. It stays where it is: the segment
    /// ends before it, as the next one tells.
    fn tail(&mut self, segment: &Segment, bytes: &Bytes, offset: usize, expected: u64) {
        let tail = bytes.len() - offset;
        // Were the tail damaged rather than torn, its positions may be committed: never reuse them.
        self.next = expected + 1 + (tail / HEADER) as u64;
        let damaged = record::count_damaged(&bytes[offset..]);
        if damaged > 0 {
            self.losses.push(Loss {
                path: segment.path.clone(),
                offset,
                from: expected,
                to: expected + damaged - 1,
                acknowledged: false,
            });
        } else {
            tracing::warn!(
                file = %segment.path.display(),
                offset,
                bytes = tail,
                "the log ends in a torn record, which was never acknowledged"
            );
        }
    }
}
