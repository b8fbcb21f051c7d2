//! `MERGE INTO`, and `UPDATE .. FROM` as one: which rows act on which, and what becomes of them.
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use catalog::{Error, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Merge, MergeInsertExpr, MergeInsertKind, Query, TableFactor, Value,
};
use futures::StreamExt;
use lake::RewriteKind;
use object_store::path::Path;

use super::change::{assigned, exchange, without};
use super::clauses::{Action, Changes, Clause, Kind};
use super::insert::position;
use super::rows::{Rows, Work};
use super::sql::{
    and, column, item, last_part, name_of, nested, query, quoted, select_mut, shorten, target_as,
};
use crate::error::stream_error;
use crate::table::{FILE, ROW};
use crate::write::{Staged, Target, WriteContext};

/// Stages `MERGE INTO`.
///
/// # Errors
/// `InvalidInput` when more than one source row acts on a target row, for columns the
/// table lacks, and for values that do not fit.
pub(crate) async fn merge_into(
    context: &WriteContext,
    target: &Target,
    statement: &Merge,
) -> Result<Staged> {
    let changes = Changes::of(statement)?;
    stage(&Work::new(context, target), &statement.table, &changes).await
}

/// Stages `changes` of the target, which the statement calls as `factor` says.
pub(super) async fn stage(
    work: &Work<'_>,
    factor: &TableFactor,
    changes: &Changes,
) -> Result<Staged> {
    let merging = Merging::new(work, factor, changes)?;
    let acting = merging.acting().await?;
    let paths: HashSet<Path> = acting.keys().cloned().collect();
    let mut streams: Vec<Rows> = Vec::new();
    if !paths.is_empty() {
        streams.extend(merging.updated(&paths).await?);
        streams.push(merging.others(&paths).await?);
    }
    let inserted = merging.inserted().await?;
    let touched: u64 = acting.values().sum();
    if paths.is_empty() {
        let rows = futures::stream::iter(inserted).flatten().boxed();
        return super::insert::append(work, rows).await;
    }
    let counter = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&counter);
    let inserted = futures::stream::iter(inserted)
        .flatten()
        .inspect(move |batch| {
            let rows = batch.as_ref().map_or(0, |batch| batch.num_rows());
            counted.fetch_add(rows as u64, Ordering::Relaxed);
        });
    let rows = futures::stream::iter(streams).flatten().chain(inserted);
    let kind = RewriteKind::Overwrite;
    let mut staged = exchange(work, &paths, Some(rows.boxed()), kind, touched).await?;
    staged.rows += counter.load(Ordering::Relaxed);
    Ok(staged)
}

/// A merge with the names its queries use.
struct Merging<'a> {
    work: &'a Work<'a>,
    target: String,
    source: String,
    /// The source, for a FROM; its name is `source`.
    from: String,
    on: Expr,
    clauses: &'a [Clause],
}

impl<'a> Merging<'a> {
    fn new(work: &'a Work<'a>, factor: &TableFactor, changes: &'a Changes) -> Result<Self> {
        let target = name_of(factor)?;
        let source = name_of(&changes.source)?;
        if target == source {
            return Err(Error::invalid(format!(
                "the target and the source are both called {target:?}"
            ))
            .with_hint("give one of them another name with AS"));
        }
        let mut on = changes.on.clone();
        shorten(&mut on, &target);
        shorten(&mut on, &source);
        Ok(Merging {
            work,
            from: changes.source.to_string(),
            target,
            source,
            on,
            clauses: &changes.clauses,
        })
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = (usize, &Clause)> {
        let own = self
            .clauses
            .iter()
            .filter(move |clause| clause.kind == kind);
        own.enumerate()
    }

    /// When the clause at `index` among those of `kind` acts: its condition holds, and
    /// that of none before it.
    fn acts(&self, kind: Kind, index: usize) -> Expr {
        let mut all = true_value();
        for (at, clause) in self.of(kind).take(index + 1) {
            let mut condition = clause.condition.clone().unwrap_or_else(true_value);
            shorten(&mut condition, &self.target);
            let condition = Box::new(nested(condition));
            let holds = match at == index {
                true => Expr::IsTrue(condition),
                false => Expr::IsNotTrue(condition),
            };
            all = and(all, holds);
        }
        all
    }

    /// When any clause of `kind` acts.
    fn any_acts(&self, kind: Kind) -> Option<Expr> {
        self.of(kind)
            .map(|(index, _)| self.acts(kind, index))
            .reduce(|left, right| {
                let (left, right) = (nested(left), nested(right));
                Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::Or,
                    right: Box::new(right),
                }
            })
    }

    /// `values` of the rows or pairs of `kind` that `condition` holds for.
    fn select(&self, kind: Kind, values: Vec<Expr>, condition: Expr) -> Result<Query> {
        let target = target_as(&self.target)?;
        let (first, join, second) = match kind {
            Kind::Matched => (target.to_string(), "JOIN", self.from.clone()),
            Kind::SourceOnly => (self.from.clone(), "LEFT ANTI JOIN", target.to_string()),
            Kind::TargetOnly => (target.to_string(), "LEFT ANTI JOIN", self.from.clone()),
        };
        let mut made = query(&format!(
            "SELECT 1 FROM {first} {join} {second} ON {}",
            self.on
        ))?;
        let select = select_mut(&mut made)?;
        select.selection = Some(condition);
        let values = values.into_iter().enumerate();
        select.projection = values
            .map(|(at, value)| item(value, &format!("c{at}")))
            .collect();
        Ok(made)
    }

    /// File and row number of the target rows of `kind` that are acted on.
    fn places(&self, kind: Kind) -> Result<Option<Query>> {
        let Some(condition) = self.any_acts(kind) else {
            return Ok(None);
        };
        let places = [FILE, ROW].map(|name| column(&self.target, name));
        self.select(kind, places.to_vec(), condition).map(Some)
    }

    /// How many rows of each file are acted on, files without one left out.
    async fn acting(&self) -> Result<BTreeMap<Path, u64>> {
        let mut acting = BTreeMap::new();
        if let Some(places) = self.places(Kind::Matched)? {
            self.check_once(&places).await?;
            acting = self.work.counts(count(&places)?).await?;
        }
        if let Some(places) = self.places(Kind::TargetOnly)? {
            for (path, rows) in self.work.counts(count(&places)?).await? {
                *acting.entry(path).or_default() += rows;
            }
        }
        Ok(acting)
    }

    /// Refuses that two source rows act on one target row.
    async fn check_once(&self, places: &Query) -> Result<()> {
        let most = query(&format!(
            "SELECT max(n) FROM (SELECT c0, c1, count(*) AS n FROM ({places}) GROUP BY c0, c1)"
        ))?;
        let mut batches = self.work.run(most, None).await?.stream;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(stream_error)?;
            let most = batch.column(0).as_primitive::<Int64Type>();
            if most.iter().flatten().any(|most| most > 1) {
                return Err(Error::invalid(format!(
                    "more than one row of {} matches a row of {} to be changed",
                    self.source, self.target
                ))
                .with_hint("group the source so that it has one row for each row of the target"));
            }
        }
        Ok(())
    }

    /// The rows as the UPDATE clauses leave them.
    async fn updated(&self, paths: &HashSet<Path>) -> Result<Vec<Rows>> {
        let mut updated = Vec::new();
        for kind in [Kind::Matched, Kind::TargetOnly] {
            for (index, clause) in self.of(kind) {
                let Action::Update(assignments) = &clause.action else {
                    continue;
                };
                let values = assigned(self.work, &self.target, assignments)?;
                let query = self.select(kind, values, self.acts(kind, index))?;
                let rows = self.work.run(query, Some(paths)).await?;
                updated.push(self.work.assigned(rows, None)?);
            }
        }
        Ok(updated)
    }

    /// The rows of the files `paths` that nothing acts on.
    async fn others(&self, paths: &HashSet<Path>) -> Result<Rows> {
        let columns = self.work.columns();
        let columns = columns.fields().iter();
        let columns = columns.map(|field| column(&self.target, field.name()).to_string());
        let columns: Vec<String> = columns.collect();
        let acted = [self.places(Kind::Matched)?, self.places(Kind::TargetOnly)?];
        let acted: Vec<Query> = acted.into_iter().flatten().collect();
        let others = query(&without(&columns, &self.target, &acted)?)?;
        let rows = self.work.run(others, Some(paths)).await?;
        self.work.assigned(rows, None)
    }

    /// The rows that the INSERT clauses make.
    async fn inserted(&self) -> Result<Vec<Rows>> {
        let mut inserted = Vec::new();
        for (index, clause) in self.of(Kind::SourceOnly) {
            let Action::Insert(insert) = &clause.action else {
                continue;
            };
            let (values, sources) = self.inserted_values(insert)?;
            let condition = self.acts(Kind::SourceOnly, index);
            let query = self.select(Kind::SourceOnly, values, condition)?;
            let rows = self.work.run(query, None).await?;
            inserted.push(self.work.assigned(rows, Some(sources))?);
        }
        Ok(inserted)
    }

    /// The values of an INSERT, and which of them each column takes.
    fn inserted_values(&self, insert: &MergeInsertExpr) -> Result<(Vec<Expr>, Vec<Option<usize>>)> {
        let table = self.work.columns();
        let names = insert.columns.iter().map(last_part);
        let mut names: Vec<String> = names.collect::<Result<_>>()?;
        if names.is_empty() {
            names = table.fields().iter().map(|f| f.name().clone()).collect();
        }
        let values = match &insert.kind {
            MergeInsertKind::Row => names.iter().map(|n| column(&self.source, n)).collect(),
            MergeInsertKind::Values(values) => match values.rows.as_slice() {
                [row] => row.clone(),
                _ => return Err(Error::invalid("INSERT in MERGE takes one row of values")),
            },
        };
        if values.len() != names.len() {
            return Err(Error::invalid(format!(
                "INSERT names {} column(s) and has {} value(s)",
                names.len(),
                values.len()
            )));
        }
        let mut sources = vec![None; table.fields().len()];
        for (value, name) in names.iter().enumerate() {
            if sources[position(&table, name)?].replace(value).is_some() {
                return Err(Error::invalid(format!(
                    "column {} is named twice",
                    quoted(name)
                )));
            }
        }
        Ok((values, sources))
    }
}

/// How many rows of each file `places` has.
fn count(places: &Query) -> Result<Query> {
    query(&format!("SELECT c0, count(*) FROM ({places}) GROUP BY c0"))
}

fn true_value() -> Expr {
    Expr::value(Value::Boolean(true))
}
