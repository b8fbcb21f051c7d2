//! Models kept ready: which model a name means is looked up in the background, so that a
//! promoted model is served within a second and no request waits for it to load.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use catalog::{ErrorKind, Result};
use lake::Lake;

use super::batch::{BatchOptions, Queue};
use crate::registry;

/// For so long nobody looks whether a name means another model by now.
const FRESH: Duration = Duration::from_millis(300);
/// Older than this, what a name meant is not trusted without a look.
const STALE: Duration = Duration::from_millis(800);
/// Names remembered; beyond it all are forgotten, and their models loaded again.
const MOST: usize = 256;

/// The models in use, by name and ref.
pub(super) struct Warm {
    lake: Lake,
    options: BatchOptions,
    names: Mutex<HashMap<(String, String), Arc<Name>>>,
}

struct Name {
    model: String,
    reference: String,
    known: Mutex<Option<(Arc<Queue>, Instant)>>,
    looking: tokio::sync::Mutex<()>,
}

impl Warm {
    pub(super) fn new(lake: Lake, options: BatchOptions) -> Self {
        Warm {
            lake,
            options,
            names: Mutex::default(),
        }
    }

    /// The model `model` at `reference`, ready to answer.
    ///
    /// # Errors
    /// Those of loading it; where the store is away, what was known last is still served.
    pub(super) async fn get(self: &Arc<Warm>, model: &str, reference: &str) -> Result<Arc<Queue>> {
        let name = self.name(model, reference);
        match name.known() {
            Some((queue, age)) if age < FRESH => Ok(queue),
            Some((queue, age)) if age < STALE => {
                let (warm, name) = (Arc::clone(self), Arc::clone(&name));
                tokio::spawn(async move {
                    // Somebody who looks already is enough.
                    if let Ok(_turn) = name.looking.try_lock() {
                        // What is wrong is told to whoever needs the model.
                        let _ = warm.look(&name).await;
                    }
                });
                Ok(queue)
            }
            Some((queue, _)) => match name.looking.try_lock() {
                Ok(_turn) => self.look(&name).await,
                Err(_) => Ok(queue),
            },
            None => {
                let _turn = name.looking.lock().await;
                match name.known() {
                    Some((queue, age)) if age < STALE => Ok(queue),
                    _ => self.look(&name).await,
                }
            }
        }
    }

    fn name(&self, model: &str, reference: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (model.to_owned(), reference.to_owned());
        if names.len() >= MOST && !names.contains_key(&key) {
            names.clear();
        }
        let name = names.entry(key).or_insert_with_key(|(model, reference)| {
            Arc::new(Name {
                model: model.clone(),
                reference: reference.clone(),
                known: Mutex::default(),
                looking: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(name)
    }

    /// Finds out what a name means now.
    async fn look(&self, name: &Name) -> Result<Arc<Queue>> {
        let started = Instant::now();
        let before = name.known().map(|(queue, _)| queue);
        let found = registry::load(&self.lake, &name.model, &name.reference).await;
        let queue = match (found, before) {
            (Ok(model), Some(queue)) if model.location() == queue.model().location() => queue,
            (Ok(model), _) => Queue::new(model, self.options),
            (Err(error), Some(queue)) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(model = name.model, %error, "the model that was known last is served");
                queue
            }
            (Err(error), _) => {
                *name.lock() = None;
                return Err(error);
            }
        };
        *name.lock() = Some((Arc::clone(&queue), started));
        Ok(queue)
    }
}

impl Name {
    /// The model, and how long ago that was looked up.
    fn known(&self) -> Option<(Arc<Queue>, Duration)> {
        let known = self.lock();
        known
            .as_ref()
            .map(|(queue, at)| (Arc::clone(queue), at.elapsed()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Arc<Queue>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
