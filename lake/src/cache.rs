//! A bounded cache for immutable files: the least recently used ones go first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by name, bounded by their summed weight.
///
/// Only immutable things go in, so an entry is never wrong, only absent.
pub(crate) struct Cache<V> {
    state: Mutex<State<V>>,
    capacity: usize,
}

struct State<V> {
    entries: HashMap<String, Entry<V>>,
    /// Names by the tick of their last use, oldest first.
    by_use: BTreeMap<u64, String>,
    tick: u64,
    weight: usize,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<V: Clone> Cache<V> {
    /// A cache that holds entries of at most `capacity` summed weight.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            tick: 0,
            weight: 0,
        };
        Self {
            state: Mutex::new(state),
            capacity,
        }
    }

    /// The value under `name`, which becomes the most recently used.
    pub(crate) fn get(&self, name: &str) -> Option<V> {
        let mut state = self.lock();
        let state = &mut *state;
        let entry = state.entries.get_mut(name)?;
        state.tick += 1;
        if let Some(name) = state.by_use.remove(&entry.used) {
            state.by_use.insert(state.tick, name);
        }
        entry.used = state.tick;
        Some(entry.value.clone())
    }

    /// Keeps `value` under `name`; a value heavier than the whole cache is not kept.
    pub(crate) fn insert(&self, name: &str, value: V, weight: usize) {
        if weight > self.capacity {
            return;
        }
        let mut state = self.lock();
        state.remove(name);
        state.tick += 1;
        let used = state.tick;
        state.by_use.insert(used, name.to_owned());
        let entry = Entry {
            value,
            weight,
            used,
        };
        state.entries.insert(name.to_owned(), entry);
        state.weight += weight;
        while state.weight > self.capacity {
            let Some((_, oldest)) = state.by_use.pop_first() else {
                break;
            };
            state.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> State<V> {
    fn remove(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.by_use.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_least_recently_used() {
        let cache = Cache::new(3);
        for name in ["a", "b", "c"] {
            cache.insert(name, name.to_owned(), 1);
        }
        assert!(cache.get("a").is_some());
        cache.insert("d", "d".to_owned(), 1);
        assert_eq!(cache.get("b"), None);
        for name in ["a", "c", "d"] {
            assert_eq!(cache.get(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn weighs_entries_and_replaces_by_name() {
        let cache = Cache::new(10);
        cache.insert("a", 1, 6);
        cache.insert("a", 2, 7);
        assert_eq!(cache.get("a"), Some(2));
        cache.insert("huge", 3, 11);
        assert_eq!(cache.get("huge"), None);
        assert_eq!(cache.get("a"), Some(2));
        cache.insert("b", 4, 5);
        assert_eq!((cache.get("a"), cache.get("b")), (None, Some(4)));
    }
}
