//! Random statements against a list of rows: after each, the table holds the list.
use lake::{Alter, PartitionField, Transform};
use proptest::prelude::*;

use crate::dml::Shell;
use crate::fixture::{column, key, meta};

#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: i64,
    k: Option<i64>,
    s: Option<String>,
}

/// A condition, which may be unknown.
#[derive(Clone, Debug)]
enum Condition {
    K(&'static str, i64),
    KIsNull,
    S(char),
    Even,
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    /// The id is the k of some row.
    InSubquery,
}

#[derive(Clone, Debug)]
enum Set {
    KNull,
    KPlus,
    KId,
    S(Option<char>),
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<(Option<i64>, Option<char>)>),
    Delete(Condition),
    Update(Set, Condition),
    /// Source rows (id, v), distinct ids: even v updates, odd v deletes, the rest is
    /// inserted; rows without a source row go where the condition holds.
    Merge(Vec<(i64, i64)>, Condition),
    Partition(u8),
    Rename,
    Widen,
}

impl Condition {
    fn holds(&self, row: &Row, rows: &[Row]) -> Option<bool> {
        match self {
            Condition::K("=", v) => row.k.map(|k| k == *v),
            Condition::K(_, v) => row.k.map(|k| k < *v),
            Condition::KIsNull => Some(row.k.is_none()),
            Condition::S(c) => row.s.as_ref().map(|s| s.starts_with(*c)),
            Condition::Even => Some(row.id % 2 == 0),
            Condition::Not(a) => a.holds(row, rows).map(|a| !a),
            Condition::And(a, b) => match (a.holds(row, rows), b.holds(row, rows)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(a, b) => match (a.holds(row, rows), b.holds(row, rows)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::InSubquery => Some(rows.iter().any(|other| other.k == Some(row.id))),
        }
    }

    fn sql(&self, s: &str) -> String {
        match self {
            Condition::K(op, v) => format!("rows.k {op} {v}"),
            Condition::KIsNull => "rows.k is null".to_owned(),
            Condition::S(c) => format!("rows.{s} like '{c}%'"),
            Condition::Even => "rows.id % 2 = 0".to_owned(),
            Condition::Not(a) => format!("not ({})", a.sql(s)),
            Condition::And(a, b) => format!("({} and {})", a.sql(s), b.sql(s)),
            Condition::Or(a, b) => format!("({} or {})", a.sql(s), b.sql(s)),
            Condition::InSubquery => {
                "exists (select 1 from rows as o where o.k = rows.id)".to_owned()
            }
        }
    }
}

impl Set {
    fn apply(&self, row: &mut Row) {
        match self {
            Set::KNull => row.k = None,
            Set::KPlus => row.k = row.k.map(|k| k + 1),
            Set::KId => row.k = Some(row.id),
            Set::S(c) => row.s = c.map(|c| c.to_string()),
        }
    }

    fn sql(&self, s: &str) -> String {
        match self {
            Set::KNull => "k = null".to_owned(),
            Set::KPlus => "k = k + 1".to_owned(),
            Set::KId => "k = id".to_owned(),
            Set::S(Some(c)) => format!("{s} = '{c}'"),
            Set::S(None) => format!("{s} = null"),
        }
    }
}

/// The statements' table and what it must hold.
struct Case {
    shell: Shell,
    rows: Vec<Row>,
    next_id: i64,
    /// What column `s` is called.
    s: &'static str,
}

impl Case {
    async fn take(&mut self, step: &Step) {
        match step {
            Step::Insert(rows) => self.insert(rows).await,
            Step::Delete(condition) => {
                let sql = format!("delete from rows where {}", condition.sql(self.s));
                let (gone, kept) = self.split(condition);
                assert_eq!(self.shell.run(&sql).await, gone.len() as u64, "{sql}");
                self.rows = kept;
            }
            Step::Update(set, condition) => {
                let (changes, filter) = (set.sql(self.s), condition.sql(self.s));
                let sql = format!("update rows set {changes} where {filter}");
                let (mut changed, kept) = self.split(condition);
                assert_eq!(self.shell.run(&sql).await, changed.len() as u64, "{sql}");
                changed.iter_mut().for_each(|row| set.apply(row));
                self.rows = kept;
                self.rows.append(&mut changed);
            }
            Step::Merge(source, condition) => self.merge(source, condition).await,
            Step::Partition(by) => {
                let fields = match by {
                    0 => vec![],
                    1 => vec![PartitionField::new("id", Transform::Bucket(3))],
                    2 => vec![PartitionField::new(self.s, Transform::Truncate(1))],
                    _ => vec![PartitionField::new("k", Transform::Identity)],
                };
                self.alter(Alter::SetPartition(fields)).await;
            }
            Step::Rename => {
                let to = if self.s == "s" { "t" } else { "s" };
                let from = std::mem::replace(&mut self.s, to).to_owned();
                let to = to.to_owned();
                self.alter(Alter::RenameColumn { from, to }).await;
            }
            Step::Widen => {
                let (name, to) = ("k".to_owned(), arrow::datatypes::DataType::Int64);
                self.alter(Alter::WidenColumn { name, to }).await;
            }
        }
    }

    async fn insert(&mut self, rows: &[(Option<i64>, Option<char>)]) {
        let mut values = Vec::new();
        for (k, s) in rows {
            let id = self.next_id;
            self.next_id += 1;
            let number = k.map_or("null".to_owned(), |k| k.to_string());
            let text = s.map_or("null".to_owned(), |s| format!("'{s}'"));
            values.push(format!("({id}, {number}, {text})"));
            let s = s.map(String::from);
            self.rows.push(Row { id, k: *k, s });
        }
        let (s, values) = (self.s, values.join(", "));
        let sql = format!("insert into rows (id, k, {s}) values {values}");
        assert_eq!(self.shell.run(&sql).await, rows.len() as u64, "{sql}");
    }

    /// The rows the condition holds for, and the others.
    fn split(&self, condition: &Condition) -> (Vec<Row>, Vec<Row>) {
        let rows = self.rows.iter().cloned();
        rows.partition(|row| condition.holds(row, &self.rows) == Some(true))
    }

    async fn merge(&mut self, source: &[(i64, i64)], condition: &Condition) {
        let values: Vec<String> = source
            .iter()
            .map(|(id, v)| format!("({id}, {v})"))
            .collect();
        let sql = format!(
            "merge into rows using (select column1 as id, column2 as v from (values {})) as n \
             on rows.id = n.id \
             when matched and n.v % 2 = 0 then update set k = n.v \
             when matched then delete \
             when not matched then insert (id, k) values (n.id, n.v) \
             when not matched by source and {} then delete",
            values.join(", "),
            condition.sql(self.s)
        );
        let mut changed = 0;
        let before = std::mem::take(&mut self.rows);
        for row in &before {
            let found = source.iter().find(|(id, _)| *id == row.id);
            match found {
                Some((_, v)) if v % 2 == 0 => self.rows.push(Row {
                    k: Some(*v),
                    ..row.clone()
                }),
                Some(_) => {}
                None if condition.holds(row, &before) == Some(true) => {}
                None => {
                    self.rows.push(row.clone());
                    continue;
                }
            }
            changed += 1;
        }
        for (id, v) in source {
            if !before.iter().any(|row| row.id == *id) {
                let (k, s) = (Some(*v), None);
                self.rows.push(Row { id: *id, k, s });
                self.next_id = self.next_id.max(id + 1);
                changed += 1;
            }
        }
        assert_eq!(self.shell.run(&sql).await, changed, "{sql}");
    }

    async fn alter(&self, alter: Alter) {
        let lake = &self.shell.lake;
        let head = lake.catalog().head("main").await.unwrap();
        let table = lake.table(&head, &key("t.rows")).await.unwrap();
        let staged = lake.stage_alter(&table, &[alter]).await.unwrap();
        let catalog = lake.catalog();
        let commit = catalog.commit_operations("main", meta("alter"), head.id(), vec![staged]);
        commit.await.unwrap();
    }

    async fn check(&self) {
        let sql = format!(
            "select concat_ws(' ', id, coalesce(arrow_cast(k, 'Utf8'), '-'), coalesce({}, '-')) \
             from rows order by 1",
            self.s
        );
        let mut expected: Vec<String> = self
            .rows
            .iter()
            .map(|row| {
                let k = row.k.map_or("-".to_owned(), |k| k.to_string());
                format!("{} {k} {}", row.id, row.s.as_deref().unwrap_or("-"))
            })
            .collect();
        expected.sort();
        assert_eq!(column(&self.shell.engine, &sql).await, expected);
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (prop_oneof![Just("="), Just("<")], 0_i64..6).prop_map(|(op, v)| Condition::K(op, v)),
        Just(Condition::KIsNull),
        "[a-c]".prop_map(|s| Condition::S(s.chars().next().unwrap())),
        Just(Condition::Even),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Condition::Not(Box::new(a))),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
        ]
    })
}

/// With a subquery here and there, where one may be.
fn where_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => condition(),
        1 => Just(Condition::InSubquery),
        1 => condition().prop_map(|a| Condition::Or(Box::new(a), Box::new(Condition::InSubquery))),
    ]
}

fn letter() -> impl Strategy<Value = Option<char>> {
    proptest::option::weighted(0.7, prop_oneof![Just('a'), Just('b'), Just('c')])
}

fn step() -> impl Strategy<Value = Step> {
    let rows =
        proptest::collection::vec((proptest::option::weighted(0.7, 0_i64..6), letter()), 1..6);
    let source = proptest::collection::btree_map(0_i64..12, 0_i64..6, 1..5);
    let set = prop_oneof![
        Just(Set::KNull),
        Just(Set::KPlus),
        Just(Set::KId),
        letter().prop_map(Set::S),
    ];
    prop_oneof![
        3 => rows.prop_map(Step::Insert),
        2 => where_condition().prop_map(Step::Delete),
        3 => (set, where_condition()).prop_map(|(set, filter)| Step::Update(set, filter)),
        2 => (source, condition())
            .prop_map(|(source, filter)| Step::Merge(source.into_iter().collect(), filter)),
        1 => (0_u8..4).prop_map(Step::Partition),
        1 => Just(Step::Rename),
        1 => Just(Step::Widen),
    ]
}

/// A dozen, unless `PROPTEST_CASES` says otherwise.
fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 12;
    }
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn statements_change_what_they_say(steps in proptest::collection::vec(step(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let shell = Shell::new(Vec::new()).await;
            let mut case = Case { shell, rows: Vec::new(), next_id: 0, s: "s" };
            case.take(&Step::Insert(vec![(Some(1), Some('a')), (None, Some('b')), (Some(0), None)])).await;
            for step in &steps {
                case.take(step).await;
                case.check().await;
            }
        });
    }
}
