//! Changes of one group: those of different keys are applied at once, those of one key in turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Change, ChangeSet, Key, Result, Snapshot};
use tokio::sync::Barrier;

use crate::{key, memory, meta, put, sql};

/// Counts up one key, and before that waits for the others at a barrier.
struct Meets {
    name: &'static str,
    barrier: Arc<Barrier>,
}

#[async_trait]
impl Change for Meets {
    async fn apply(&self, head: &Snapshot) -> Result<ChangeSet> {
        self.barrier.wait().await;
        let count: u32 = sql(head, self.name).map_or(0, |text| text.parse().unwrap());
        Ok(ChangeSet {
            operations: vec![put(self.name, count + 1)],
            ..ChangeSet::default()
        })
    }

    fn keys(&self) -> Option<BTreeSet<Key>> {
        Some(BTreeSet::from([key(self.name)]))
    }
}

#[tokio::test]
async fn changes_of_different_keys_are_applied_at_once() {
    let catalog = memory().await;
    let (pair, alone) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(1)));
    let commit = |name, barrier: &Arc<Barrier>| {
        let barrier = Arc::clone(barrier);
        catalog.commit("main", meta("x"), Arc::new(Meets { name, barrier }))
    };
    let commits = async {
        tokio::join!(
            commit("a", &pair),
            commit("b", &pair),
            // Not beside the first, whose key it shares.
            commit("a", &alone),
        )
    };
    let (first, second, third) = tokio::time::timeout(Duration::from_secs(60), commits)
        .await
        .expect("the first two wait for each other");
    let counts = |snapshot: &Snapshot| (sql(snapshot, "a"), sql(snapshot, "b"));
    let one = Some("1".to_string());
    assert_eq!(counts(&first.unwrap()), (one.clone(), None));
    assert_eq!(counts(&second.unwrap()), (one.clone(), one.clone()));
    assert_eq!(counts(&third.unwrap()), (Some("2".to_string()), one));
}
