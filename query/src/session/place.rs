//! Where names point in a session.
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What `USE` has chosen; `None` where it has not.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) reference: Option<String>,
    pub(super) namespace: Option<String>,
}

/// The ref and the namespace chosen with `USE`.
#[derive(Debug, Default)]
pub(super) struct Place(Mutex<Chosen>);

impl Place {
    pub(super) fn chosen(&self) -> Chosen {
        self.lock().clone()
    }

    pub(super) fn choose_reference(&self, reference: &str) {
        self.lock().reference = Some(reference.to_owned());
    }

    pub(super) fn choose_namespace(&self, namespace: &str) {
        self.lock().namespace = Some(namespace.to_owned());
    }

    pub(super) fn reset(&self) {
        *self.lock() = Chosen::default();
    }

    fn lock(&self) -> MutexGuard<'_, Chosen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
