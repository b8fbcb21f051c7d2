//! Loaded models by the location of their manifest, which is immutable.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LoadedModel;

/// Models kept; the least recently used goes first.
const CAPACITY: usize = 16;

type Entries = VecDeque<(String, Arc<LoadedModel>)>;

static MODELS: Mutex<Entries> = Mutex::new(VecDeque::new());

pub(super) fn get(location: &str) -> Option<Arc<LoadedModel>> {
    let mut models = lock();
    let index = models.iter().position(|(there, _)| there == location)?;
    let entry = models.remove(index)?;
    let model = Arc::clone(&entry.1);
    models.push_back(entry);
    Some(model)
}

pub(super) fn put(location: &str, model: &Arc<LoadedModel>) {
    let mut models = lock();
    models.retain(|(there, _)| there != location);
    if models.len() == CAPACITY {
        models.pop_front();
    }
    models.push_back((location.to_owned(), Arc::clone(model)));
}

fn lock() -> MutexGuard<'static, Entries> {
    MODELS.lock().unwrap_or_else(PoisonError::into_inner)
}
