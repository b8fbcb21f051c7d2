//! Random histories over several catalogs that share a store, against the model.

mod checks;
mod merges;
mod steps;

use catalog::{Catalog, Side, Store};
use proptest::prelude::*;

use crate::model::Model;

/// Names of branches, and sometimes of tags.
pub(crate) const NAMES: [&str; 5] = ["main", "dev", "exp/a", "exp", "v1"];
const CATALOGS: usize = 3;

/// Changes of one commit by key: a new content, or that the key is deleted.
type Changes = Vec<(u8, Option<u8>)>;

/// One thing somebody does; names are positions in [`NAMES`].
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Operations made on the commit `back` first parents before the head.
    Commit {
        branch: usize,
        back: usize,
        changes: Changes,
        mark: Option<u64>,
        automatic: bool,
    },
    /// As many concurrent commits, each to a key of its own.
    Burst {
        branch: usize,
        size: u8,
    },
    /// A branch or a tag.
    Create {
        name: usize,
        from: usize,
        back: usize,
        tag: bool,
    },
    Delete {
        name: usize,
        tag: bool,
    },
    Merge {
        source: usize,
        target: usize,
        resolve: Option<Side>,
        dry_run: bool,
    },
    /// Makes a commit again, or takes it back.
    Again {
        commit: usize,
        back: usize,
        branch: usize,
        revert: bool,
        resolve: Option<Side>,
    },
    Reset {
        branch: usize,
        to: usize,
        back: usize,
    },
    Rename {
        old: usize,
        new: usize,
    },
    Protect {
        branch: usize,
        on: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let back = || prop_oneof![4 => Just(0usize), 1 => 0usize..12];
    let changes = prop::collection::vec((0u8..6, prop::option::weighted(0.8, 0u8..4)), 1..4);
    let side = || prop::option::of(prop_oneof![Just(Side::Ours), Just(Side::Theirs)]);
    let rarely = || prop::bool::weighted(0.2);
    prop_oneof![
        10 => (name(), back(), changes, prop::option::of(0u64..99), rarely()).prop_map(
            |(branch, back, changes, mark, automatic)| Step::Commit { branch, back, changes, mark, automatic }
        ),
        1 => (name(), 2u8..40).prop_map(|(branch, size)| Step::Burst { branch, size }),
        4 => (name(), name(), back(), rarely()).prop_map(|(name, from, back, tag)| Step::Create { name, from, back, tag }),
        1 => (name(), rarely()).prop_map(|(name, tag)| Step::Delete { name, tag }),
        4 => (name(), name(), side(), rarely()).prop_map(
            |(source, target, resolve, dry_run)| Step::Merge { source, target, resolve, dry_run }
        ),
        3 => (name(), 0usize..4, name(), any::<bool>(), side()).prop_map(
            |(commit, back, branch, revert, resolve)| Step::Again { commit, back, branch, revert, resolve }
        ),
        1 => (name(), name(), back()).prop_map(|(branch, to, back)| Step::Reset { branch, to, back }),
        1 => (name(), name()).prop_map(|(old, new)| Step::Rename { old, new }),
        1 => (name(), prop::bool::weighted(0.4)).prop_map(|(branch, on)| Step::Protect { branch, on }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_history_equals_the_model(steps in prop::collection::vec((0..CATALOGS, step()), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}

async fn run(steps: Vec<(usize, Step)>) {
    let store = Store::memory();
    let mut catalogs = Vec::new();
    for _ in 0..CATALOGS {
        catalogs.push(Catalog::open(store.clone()).await.unwrap());
    }
    let root = catalogs[0].head("main").await.unwrap();
    let mut model = Model::new(root.id());
    for (catalog, step) in steps {
        steps::take(&catalogs[catalog], &mut model, step).await;
    }
    for catalog in &catalogs {
        checks::heads(catalog, &model).await;
    }
    // A catalog with empty caches reads everything from the store.
    let cold = Catalog::open(store.clone()).await.unwrap();
    checks::heads(&cold, &model).await;
    checks::logs(&cold, &model).await;
    checks::history(&store, &model).await;
}
