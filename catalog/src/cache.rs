//! A bounded cache for immutable values.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

/// Keeps between `capacity` and twice `capacity` of the most recently used values.
///
/// Two generations stand in for an LRU list: a hit in the old one moves the value to the young
/// one, and when the young one is full it becomes the old one.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    generations: Mutex<(HashMap<K, V>, HashMap<K, V>)>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            generations: Mutex::new((HashMap::new(), HashMap::new())),
            capacity,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.0.get(key) {
            return Some(value.clone());
        }
        let value = generations.1.remove(key)?;
        Self::insert_young(&mut generations, self.capacity, key.clone(), value.clone());
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        Self::insert_young(&mut self.lock(), self.capacity, key, value);
    }

    fn insert_young(
        generations: &mut (HashMap<K, V>, HashMap<K, V>),
        capacity: usize,
        key: K,
        value: V,
    ) {
        if generations.0.len() >= capacity {
            generations.1 = std::mem::take(&mut generations.0);
        }
        generations.0.insert(key, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (HashMap<K, V>, HashMap<K, V>)> {
        self.generations
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let cache = Cache::new(10);
        for i in 0..1000 {
            cache.insert(i, i);
            assert_eq!(cache.get(&0), Some(0), "after {i}");
        }
        let generations = cache.lock();
        assert!(generations.0.len() + generations.1.len() <= 20);
    }
}
