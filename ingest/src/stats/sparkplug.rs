//! Counters of Sparkplug B streams.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Counters;
use crate::decode::SparkplugCounts;

/// What Sparkplug B streams have told since the ingester started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SparkplugStats {
    /// Birth certificates that said something new.
    pub births: u64,
    /// Data that became dead letters for want of a birth certificate before them.
    pub data_before_birth: u64,
    /// Gaps in the sequence numbers of edge nodes: messages lost before they came here.
    pub sequence_gaps: u64,
}

/// The live counters behind [`SparkplugStats`].
#[derive(Debug, Default)]
pub(crate) struct SparkplugCounters {
    births: AtomicU64,
    data_before_birth: AtomicU64,
    sequence_gaps: AtomicU64,
}

impl SparkplugCounters {
    pub(crate) fn add(&self, counts: SparkplugCounts) {
        Counters::add(&self.births, counts.births);
        Counters::add(&self.data_before_birth, counts.unborn);
        Counters::add(&self.sequence_gaps, counts.gaps);
    }

    pub(super) fn snapshot(&self) -> SparkplugStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SparkplugStats {
            births: get(&self.births),
            data_before_birth: get(&self.data_before_birth),
            sequence_gaps: get(&self.sequence_gaps),
        }
    }
}
