//! Settings of maintenance: what the role `maintain` does, and how often.

use std::time::Duration;

use catalog::{Error, Result};
use lake::maintain::{CompactOptions, ExpireOptions};
use serde::{Deserialize, Serialize};

use super::units;

/// How tables are kept small and quick to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MaintainSettings {
    /// Pause between two runs over all tables.
    #[serde(with = "units::duration")]
    pub(crate) interval: Duration,
    /// Size that data files should get.
    #[serde(with = "units::bytes")]
    pub(crate) target_file_bytes: u64,
    /// Most memory that rewriting files takes.
    #[serde(with = "units::bytes")]
    pub(crate) memory_bytes: u64,
    /// A partition that got no file for so long is compacted for good.
    #[serde(with = "units::duration")]
    pub(crate) settle_after: Duration,
    /// How long a table's metadata names its snapshots...
    #[serde(with = "units::duration")]
    pub(crate) expire: Duration,
    /// ... and how many of them it keeps however old they are.
    pub(crate) keep_snapshots: usize,
    /// Pause between two garbage collections; 0 means never.
    #[serde(with = "units::duration")]
    pub(crate) gc_interval: Duration,
}

impl Default for MaintainSettings {
    fn default() -> Self {
        let compact = CompactOptions::default();
        Self {
            interval: Duration::from_secs(60),
            target_file_bytes: compact.target_file_bytes,
            memory_bytes: compact.memory_bytes,
            settle_after: compact.settle_after,
            expire: Duration::from_secs(5 * 86_400),
            keep_snapshots: 10,
            gc_interval: Duration::from_secs(86_400),
        }
    }
}

impl MaintainSettings {
    /// How files are compacted.
    pub(crate) fn compact(&self) -> CompactOptions {
        CompactOptions {
            target_file_bytes: self.target_file_bytes,
            memory_bytes: self.memory_bytes,
            settle_after: self.settle_after,
            full: false,
        }
    }

    /// Which snapshots are dropped.
    pub(crate) fn expire(&self) -> ExpireOptions {
        ExpireOptions {
            older_than: self.expire,
            keep: self.keep_snapshots,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let zero = [
            ("interval", self.interval.is_zero()),
            ("target_file_bytes", self.target_file_bytes == 0),
            ("memory_bytes", self.memory_bytes == 0),
        ];
        match zero.iter().find(|(_, zero)| *zero) {
            None => Ok(()),
            Some((name, _)) => Err(Error::invalid(format!("maintain.{name} is 0"))
                .with_hint("give it a value above 0, or leave it out for the default")),
        }
    }
}
