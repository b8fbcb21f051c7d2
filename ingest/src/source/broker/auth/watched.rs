//! A file of settings that is read again when it changes, so that users come and go without a
//! restart.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use catalog::{Error, Result};

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nobody has so many users; a device such as `/dev/zero` has.
const MOST_BYTES: u64 = 16 << 20;

/// What a file says, as of its last good version.
pub(super) struct Watched<T> {
    file: PathBuf,
    parse: fn(&str) -> Result<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamp: Stamp,
    looked: Instant,
}

/// When the file was written, and its length.
type Stamp = Option<(SystemTime, u64)>;

impl<T> Watched<T> {
    /// # Errors
    /// `InvalidInput` naming the file, and the line when it is one that cannot be understood.
    pub(super) fn new(file: &Path, parse: fn(&str) -> Result<T>) -> Result<Self> {
        let stamp = stamp(file);
        Ok(Self {
            file: file.to_owned(),
            parse,
            state: Mutex::new(State {
                value: Arc::new(read(file, parse)?),
                stamp,
                looked: Instant::now(),
            }),
        })
    }

    /// What the file says now, or said before somebody broke it.
    pub(super) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let found = stamp(&self.file);
            if found != state.stamp {
                state.stamp = found;
                match read(&self.file, self.parse) {
                    Ok(value) => {
                        tracing::info!(file = %self.file.display(), "read a changed file");
                        state.value = Arc::new(value);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a changed file is of no use, the old one holds");
                    }
                }
            }
        }
        Arc::clone(&state.value)
    }
}

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn read<T>(file: &Path, parse: fn(&str) -> Result<T>) -> Result<T> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::invalid(format!("cannot read {}: {why}", file.display()))
            .with_hint("name a readable text file")
    };
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|e| unusable(&e))?;
    if text.len() as u64 == MOST_BYTES {
        return Err(unusable(&"it is too large"));
    }
    parse(&text).map_err(|e| {
        Error::invalid(format!("{}: {}", file.display(), e.message()))
            .with_hint(e.hint().unwrap_or_default())
    })
}
