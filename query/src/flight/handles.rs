//! What clients hold handles to: a bounded map whose entries expire.
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

/// Values by opaque handle. Entries expire `keep` after their last use; when more than
/// `capacity` are held the one unused for longest goes first.
pub(crate) struct Handles<T> {
    capacity: usize,
    keep: Duration,
    entries: Mutex<HashMap<Uuid, Entry<T>>>,
}

struct Entry<T> {
    used: Instant,
    value: T,
}

impl<T> Handles<T> {
    pub(crate) fn new(capacity: usize, keep: Duration) -> Self {
        Handles {
            capacity,
            keep,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// Keeps `value`; the handle cannot be guessed.
    pub(crate) fn insert(&self, value: T) -> Bytes {
        let handle = Uuid::new_v4();
        let used = Instant::now();
        let mut entries = self.lock();
        entries.retain(|_, entry| used.duration_since(entry.used) < self.keep);
        while entries.len() >= self.capacity {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(handle, _)| *handle) else {
                break;
            };
            entries.remove(&oldest);
        }
        entries.insert(handle, Entry { used, value });
        Bytes::copy_from_slice(handle.as_bytes())
    }

    /// Gives the value up.
    pub(crate) fn take(&self, handle: &[u8]) -> Option<T> {
        let handle = Uuid::from_slice(handle).ok()?;
        let entry = self.lock().remove(&handle)?;
        (entry.used.elapsed() < self.keep).then_some(entry.value)
    }

    /// Works on the value in place, which counts as a use.
    pub(crate) fn with<R>(&self, handle: &[u8], work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let handle = Uuid::from_slice(handle).ok()?;
        let mut entries = self.lock();
        let entry = entries.get_mut(&handle)?;
        entry.used = Instant::now();
        Some(work(&mut entry.value))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_taken_once() {
        let handles = Handles::new(8, Duration::from_secs(60));
        let handle = handles.insert("a");
        assert_eq!(handles.with(&handle, |value| *value), Some("a"));
        assert_eq!(handles.take(&handle), Some("a"));
        assert_eq!(handles.take(&handle), None);
        assert_eq!(handles.take(b"no handle of ours"), None);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let handles = Handles::new(2, Duration::from_secs(60));
        let first = handles.insert(1);
        let second = handles.insert(2);
        assert!(handles.with(&first, |_| ()).is_some());
        let third = handles.insert(3);
        assert_eq!(handles.take(&second), None);
        assert_eq!(handles.take(&first), Some(1));
        assert_eq!(handles.take(&third), Some(3));
    }

    #[test]
    fn entries_expire() {
        let handles = Handles::new(8, Duration::ZERO);
        let handle = handles.insert(1);
        assert_eq!(handles.take(&handle), None);
    }
}
