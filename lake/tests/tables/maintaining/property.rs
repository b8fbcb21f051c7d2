//! Random work on a table with maintenance in between, against a plain list of rows.

use std::time::Duration;

use chrono::Utc;
use lake::maintain::{CompactOptions, ExpireOptions};
use lake::{Alter, Lake, Rewrite, RewriteKind};
use proptest::prelude::*;

use super::{Seen, compact, full, merging, seen, seen_in, status};
use crate::support::{batch, commit, head, key, lake, meta, reopened, spec};

const DAY: i64 = 86_400_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// Rows of a pump, some days ago.
    Append(Vec<(u8, u8)>),
    /// The nth file loses every second row.
    Delete(usize),
    Compact(Way),
    /// Rows older than so many days go.
    Retain(u8),
    Expire(usize),
    AddColumn,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Due,
    Full,
    Streamed,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = proptest::collection::vec((0..4_u8, 0..3_u8), 1..20);
    let ways = proptest::sample::select(vec![Way::Due, Way::Full, Way::Streamed]);
    let step = prop_oneof![
        8 => rows.prop_map(Step::Append),
        2 => (0..50_usize).prop_map(Step::Delete),
        3 => ways.prop_map(Step::Compact),
        1 => (1..4_u8).prop_map(Step::Retain),
        1 => (1..5_usize).prop_map(Step::Expire),
        1 => Just(Step::AddColumn),
    ];
    proptest::collection::vec(step, 1..60)
}

struct World {
    lake: Lake,
    rows: Vec<Seen>,
    /// Times are counted back from here.
    now: i64,
    next: i64,
    columns: usize,
}

impl World {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(rows) => self.append(&rows).await,
            Step::Delete(nth) => self.delete(nth).await,
            Step::Compact(way) => {
                let options = match way {
                    Way::Due => CompactOptions::default(),
                    Way::Full => full(),
                    Way::Streamed => merging(),
                };
                assert_eq!(compact(&self.lake, &options).await.conflicts, 0);
            }
            Step::Retain(days) => {
                let keep = Duration::from_secs(u64::from(days) * 86_400);
                let done = self
                    .lake
                    .retain("main", &key(), Some(keep), true, "test")
                    .await;
                done.unwrap();
                let limit = self.now - i64::from(days) * DAY;
                self.rows.retain(|row| row.0 >= limit);
            }
            Step::Expire(keep) => {
                let older_than = Duration::ZERO;
                let options = ExpireOptions { older_than, keep };
                self.lake
                    .expire("main", &key(), options, "test")
                    .await
                    .unwrap();
            }
            Step::AddColumn => {
                self.columns += 1;
                let name = format!("x{}", self.columns);
                let data_type = arrow::datatypes::DataType::Float32;
                let table = head(&self.lake, &key()).await;
                let add = Alter::AddColumn { name, data_type };
                let staged = self.lake.stage_alter(&table, &[add]).await.unwrap();
                commit(&self.lake, staged).await;
            }
        }
    }

    async fn append(&mut self, rows: &[(u8, u8)]) {
        let mut added = Vec::new();
        for (pump, days) in rows {
            let n = self.next;
            self.next += 1;
            let pressure = match n % 5 {
                0 => None,
                1 => Some(f64::NAN),
                _ => Some(n as f64),
            };
            let ts = self.now - i64::from(*days) * DAY - DAY / 2 + n;
            added.push((ts, format!("p{pump}"), pressure, n));
        }
        let rows: Vec<_> = added
            .iter()
            .map(|(ts, pump, pressure, n)| (Some(*ts), Some(pump.as_str()), *pressure, Some(*n)))
            .collect();
        let appended = self
            .lake
            .append_batches("main", &key(), vec![batch(&rows)], meta())
            .await;
        appended.unwrap();
        let added = added.into_iter();
        self.rows
            .extend(added.map(|(ts, pump, bar, n)| (ts, pump, bar.map(f64::to_bits), n)));
    }

    async fn delete(&mut self, nth: usize) {
        let table = head(&self.lake, &key()).await;
        let files = table.data_files().await.unwrap();
        let Some(file) = files.get(nth % files.len().max(1)) else {
            return;
        };
        let held = seen_in(&self.lake, file).await;
        let (gone, stay): (Vec<_>, Vec<_>) = held.into_iter().partition(|row| row.3 % 2 == 0);
        let rows: Vec<_> = stay
            .iter()
            .map(|row| {
                (
                    Some(row.0),
                    Some(row.1.as_str()),
                    row.2.map(f64::from_bits),
                    Some(row.3),
                )
            })
            .collect();
        let added = match rows.is_empty() {
            true => Vec::new(),
            false => self.lake.write(&table, vec![batch(&rows)]).await.unwrap(),
        };
        let rewrite = Rewrite {
            removed: vec![file.clone()],
            added,
            kind: RewriteKind::Delete,
            summary: Default::default(),
        };
        let staged = self.lake.stage_rewrite(&table, rewrite).await.unwrap();
        commit(&self.lake, staged).await;
        self.rows
            .retain(|row| !gone.iter().any(|other| other.3 == row.3));
    }

    async fn check(&mut self) {
        self.rows.sort();
        let lake = reopened(&self.lake).await;
        let table = head(&lake, &key()).await;
        assert_eq!(seen(&lake, &table).await, self.rows);
        if let Some(snapshot) = table.metadata().current_snapshot() {
            let total = &snapshot.summary().additional_properties["total-records"];
            assert_eq!(total, &self.rows.len().to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_the_model_and_files_stay_few(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lake = lake().await;
            lake.create_table("main", &key(), &spec(), meta()).await.unwrap();
            let now = Utc::now().timestamp_micros();
            let mut world = World { lake, rows: Vec::new(), now, next: 0, columns: 0 };
            for step in steps {
                world.step(step).await;
            }
            world.check().await;
            compact(&world.lake, &CompactOptions::default()).await;
            world.check().await;
            // Four days at most, each with seven files in the tiers up to 512 rows.
            assert!(status(&world.lake, &key()).await.files <= 4 * 7 * 4);
            compact(&world.lake, &full()).await;
            compact(&world.lake, &full()).await;
            world.check().await;
            assert!(status(&world.lake, &key()).await.files <= 4);
        });
    }
}
