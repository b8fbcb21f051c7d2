//! What the log's writer, readers and retention share: segments, the durable end, recent records.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::LogOptions;
use super::record::Record;
use super::segment::Segment;
use crate::lineage::Stretch;

/// Bytes of records kept in memory for the reader; beyond it the reader goes to the files.
const TAIL_BYTES: usize = 32 << 20;
/// Bytes of records a reader takes at once, more or less a group.
const TAKE_BYTES: usize = 8 << 20;
/// How exactly it is known since when records wait for their commit.
const AGE_STEP: Duration = Duration::from_millis(100);

pub(super) struct Shared {
    state: Mutex<State>,
    /// Rings when segments were committed or the log is to stop.
    changed: Condvar,
    /// Files of segments that are no longer needed, oldest first.
    unneeded: Mutex<VecDeque<PathBuf>>,
    durable: watch::Sender<u64>,
    window: usize,
    log_bytes: u64,
}

struct State {
    /// Oldest first; the last one is being written.
    segments: Vec<Segment>,
    committed: u64,
    stopped: bool,
    tail: VecDeque<Vec<Record>>,
    tail_bytes: usize,
    /// When records became durable, oldest first: the position of the last one of each moment.
    ages: VecDeque<(Instant, u64)>,
}

/// How full a log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Bytes of all segments.
    pub(crate) bytes: u64,
    /// Bytes of segments that hold records not yet committed.
    pub(crate) uncommitted: u64,
    /// Bytes at which writing waits.
    pub(crate) limit: u64,
    /// How long the oldest record that is not committed has been durable.
    pub(crate) oldest: Duration,
}

/// Whether the log takes another batch.
pub(super) enum Room {
    Free,
    /// So many bytes wait for their commit.
    Full(u64),
    Stopped,
}

/// What a reader does next.
pub(super) enum Take {
    Records(Vec<Record>),
    /// Not in memory: read this file, which holds positions `base` to `last`, up to the one before
    /// `until`.
    File {
        path: PathBuf,
        start: u64,
        base: u64,
        last: u64,
        until: u64,
    },
    /// No segment holds the position: go on at this one.
    Skip(u64),
}

impl Shared {
    pub(super) fn new(segments: Vec<Segment>, next: u64, options: &LogOptions) -> Self {
        let found = segments.last().map(|last| (Instant::now(), last.last));
        Self {
            state: Mutex::new(State {
                segments,
                committed: 0,
                stopped: false,
                tail: VecDeque::new(),
                tail_bytes: 0,
                ages: found.into_iter().collect(),
            }),
            changed: Condvar::new(),
            unneeded: Mutex::default(),
            durable: watch::Sender::new(next - 1),
            window: options.window,
            log_bytes: options.log_bytes,
        }
    }

    /// The state stays consistent at every step, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn durable(&self) -> u64 {
        *self.durable.borrow()
    }

    pub(super) fn last_record(&self) -> u64 {
        let state = self.state();
        let holding = state.segments.iter().rev().find(|s| s.last >= s.base);
        holding.map_or(state.committed, |s| s.last)
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    /// Notes a new segment. It takes the place of one that begins at the same position, which a
    /// failed write has left without records.
    pub(super) fn begin_segment(&self, segment: Segment) {
        let mut state = self.state();
        state.segments.retain(|s| s.base != segment.base);
        state.segments.push(segment);
    }

    /// Waits for at most `patience` while uncommitted records fill the log.
    pub(super) fn wait_for_room(&self, patience: Duration) -> Room {
        let full = |state: &mut State| !state.stopped && state.uncommitted() >= self.log_bytes;
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), patience, full)
            .unwrap_or_else(PoisonError::into_inner);
        match state.uncommitted() {
            _ if state.stopped => Room::Stopped,
            bytes if bytes >= self.log_bytes => Room::Full(bytes),
            _ => Room::Free,
        }
    }

    /// Waits until something is committed, or `patience` is over; false when the log is to stop.
    pub(super) fn wait_for_change(&self, patience: Duration) -> bool {
        let state = self.state();
        if state.stopped {
            return false;
        }
        let waited = self.changed.wait_timeout(state, patience);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    pub(super) fn fill(&self) -> Fill {
        let state = self.state();
        Fill {
            bytes: state.segments.iter().map(|s| s.bytes).sum(),
            uncommitted: state.uncommitted(),
            limit: self.log_bytes,
            oldest: state
                .ages
                .front()
                .map_or(Duration::ZERO, |(at, _)| at.elapsed()),
        }
    }

    /// The records of this log by the run that wrote them, oldest first.
    pub(super) fn stretches(&self) -> Vec<Stretch> {
        let state = self.state();
        let mut stretches: Vec<Stretch> = Vec::new();
        for segment in state.segments.iter().filter(|s| s.last >= s.base) {
            let Segment {
                base, last, run, ..
            } = *segment;
            match stretches.last_mut() {
                Some(before) if before.run == run => before.last = last,
                _ => stretches.push(Stretch { base, last, run }),
            }
        }
        stretches
    }

    /// Makes written and synced groups visible: to the reader first, then as the durable end.
    pub(super) fn publish(&self, bytes: u64, tracked: usize, last: u64, groups: Vec<Vec<Record>>) {
        let mut state = self.state();
        if let Some(active) = state.segments.last_mut() {
            active.bytes += bytes;
            active.tracked += tracked;
            active.last = last;
        }
        match state.ages.back_mut() {
            Some((at, newest)) if at.elapsed() < AGE_STEP => *newest = last,
            _ => state.ages.push_back((Instant::now(), last)),
        }
        for group in groups.into_iter().filter(|g| !g.is_empty()) {
            let size: usize = group.iter().map(|r| r.message.encoded_len()).sum();
            if state.tail_bytes + size <= TAIL_BYTES {
                state.tail_bytes += size;
                state.tail.push_back(group);
            }
        }
        drop(state);
        self.durable.send_replace(last);
    }

    /// The records from `next` on, up to about `limit` of them, or where to find them.
    pub(super) fn take(&self, next: u64, limit: usize) -> Take {
        let mut state = self.state();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(group) = state.tail.front() {
            let position = next + taken.len() as u64;
            let last = group.last().map_or(0, |r| r.position);
            let full = taken.len() >= limit || bytes >= TAKE_BYTES;
            if last >= position && (group[0].position > position || full) {
                break;
            }
            let group = state.tail.pop_front().unwrap_or_default();
            let size: usize = group.iter().map(|r| r.message.encoded_len()).sum();
            state.tail_bytes -= size;
            bytes += size;
            if taken.is_empty() && group[0].position == next {
                taken = group;
            } else {
                taken.extend(group.into_iter().filter(|r| r.position >= position));
            }
        }
        if !taken.is_empty() {
            return Take::Records(taken);
        }
        let until = state.tail.front().map_or(u64::MAX, |g| g[0].position);
        let holding = state.segments.iter().find(|s| s.last >= next);
        match holding {
            Some(segment) if segment.base <= next => Take::File {
                path: segment.path.clone(),
                start: segment.start,
                base: segment.base,
                last: segment.last,
                until,
            },
            Some(segment) => Take::Skip(segment.base),
            None => Take::Skip(self.durable() + 1),
        }
    }

    /// Notes a commit; returns the segments that may be removed.
    pub(super) fn commit(&self, position: u64) -> Vec<PathBuf> {
        let mut state = self.state();
        state.committed = state.committed.max(position);
        let committed = state.committed;
        while state
            .ages
            .pop_front_if(|(_, last)| *last <= committed)
            .is_some()
        {}
        let gone = state.removable(self.window, self.log_bytes);
        drop(state);
        self.changed.notify_all();
        gone
    }

    /// Removes files of segments. One that cannot be removed is tried again with the next ones, and
    /// stays with all after it: a log with a hole would be taken for a damaged one.
    pub(super) fn remove(&self, gone: Vec<PathBuf>) {
        let unneeded = self.unneeded.lock();
        let mut unneeded = unneeded.unwrap_or_else(PoisonError::into_inner);
        unneeded.extend(gone);
        while unneeded.pop_front_if(|path| super::remove(path)).is_some() {}
    }

    /// Committed segments, which are only kept so that a restart recognises redeliveries.
    pub(super) fn give_up_window(&self) -> Vec<PathBuf> {
        self.state().removable(0, 0)
    }
}

impl State {
    fn uncommitted(&self) -> u64 {
        let open = |s: &&Segment| s.last >= s.base && s.last > self.committed;
        self.segments.iter().filter(open).map(|s| s.bytes).sum()
    }

    /// Takes out what is committed and not needed for a window of so many records or bytes.
    fn removable(&mut self, window: usize, window_bytes: u64) -> Vec<PathBuf> {
        let mut newer: usize = self.segments.iter().map(|s| s.tracked).sum();
        let mut bytes: u64 = self.segments.iter().map(|s| s.bytes).sum();
        let mut removable = 0;
        let last = self.segments.len().saturating_sub(1);
        for segment in &self.segments[..last] {
            newer -= segment.tracked;
            let in_window = segment.tracked > 0 && newer < window && bytes <= window_bytes;
            if segment.last > self.committed || in_window {
                break;
            }
            bytes -= segment.bytes;
            removable += 1;
        }
        self.segments.drain(..removable).map(|s| s.path).collect()
    }
}
