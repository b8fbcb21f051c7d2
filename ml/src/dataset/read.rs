//! Running a data set's SQL so that the same commit always gives the same rows.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use catalog::{CommitId, Error, Result, Snapshot};
use futures::TryStreamExt;
use lake::Lake;
use query::{Bound, Engine, EngineConfig, SendableRecordBatchStream};
use rayon::prelude::*;
use tokio::task::JoinSet;

use super::features::{Columns, to_numbers};
use super::join::Joins;
use super::rows::Rows;
use super::{keys, labels};
use crate::spec::{DatasetSpec, Task};

/// What a data set's SQL gave, each column by its role; rows as they came.
pub(super) struct Source {
    pub(super) schema: SchemaRef,
    pub(super) columns: Columns,
    pub(super) rows: Rows,
    pub(super) classes: Vec<labels::Class>,
}

/// Reads `spec` at the commit of `snapshot`.
///
/// # Errors
/// `InvalidInput` when there are no rows, when the SQL reads another commit as well, and for
/// columns that are not what the spec takes them for.
pub(super) async fn read(
    lake: &Lake,
    engine: &Engine,
    spec: &DatasetSpec,
    task: Task,
    snapshot: &Snapshot,
) -> Result<Source> {
    let commit = snapshot.commit().id;
    let bound = bind(lake, engine, &spec.sql, commit).await?;
    let joins = Joins::read(
        lake,
        snapshot,
        (&spec.join, spec.time.as_deref()),
        &bound.schema(),
    )
    .await?;
    let (schema, joins) = (Arc::clone(&joins.schema), Arc::new(joins));
    let columns = Columns::of(&schema, spec)?;
    let mut readers = JoinSet::new();
    for (at, stream) in bound.run_apart()?.into_iter().enumerate() {
        let (columns, joins) = (columns.clone(), Arc::clone(&joins));
        readers.spawn(async move { Ok((at, Pieces::read(stream, &columns, &joins).await?)) });
    }
    let mut parts = Vec::new();
    while let Some(part) = readers.join_next().await {
        let part: Result<(usize, Pieces)> =
            part.map_err(|e| Error::internal("reading the data set broke off").with_source(e))?;
        parts.push(part?);
    }
    parts.sort_unstable_by_key(|(at, _)| *at);
    let mut pieces = Pieces(parts.into_iter().flat_map(|(_, part)| part.0).collect());
    if pieces.0.is_empty() {
        return Err(Error::invalid(format!(
            "the data set has no rows: its SQL found none at commit {commit}"
        ))
        .with_hint("run the SQL with `pumphouse sql` on the same ref"));
    }
    let (spec, shape) = (spec.clone(), Arc::clone(&schema));
    super::blocking(move || {
        if spec.window.is_none() {
            pieces.by_time();
        }
        pieces.together(&shape, columns, &spec, task)
    })
    .await
}

/// The planned SQL. On several partitions only where no row depends on others: the rest, such
/// as parallel sums of floats, would not be the same at each run.
async fn bind(lake: &Lake, engine: &Engine, sql: &str, commit: CommitId) -> Result<Bound> {
    let reference = commit.to_string();
    // Without the rows that are not committed.
    let on = |partitions| {
        let config = EngineConfig {
            target_partitions: partitions,
            ..engine.config().clone()
        };
        Engine::new(lake.clone(), None, config)
    };
    let prepared = on(engine.config().target_partitions)
        .prepare(sql, Some(&reference))
        .await?;
    if let Some((other, _)) = prepared.commits().iter().find(|(_, read)| **read != commit) {
        return Err(Error::invalid(format!(
            "the data set's SQL reads the ref '{other}', which is not the commit it is pinned to"
        ))
        .with_hint("write table names as namespace.table, and name the ref in dataset.ref"));
    }
    let bound = prepared.bind(&[]).await?;
    if bound.is_row_by_row() {
        return Ok(bound);
    }
    on(1).prepare(sql, Some(&reference)).await?.bind(&[]).await
}

/// A batch of rows, its features as numbers.
struct Piece {
    rows: usize,
    numbers: Vec<f32>,
    time: Option<ArrayRef>,
    label: Option<ArrayRef>,
    split: Option<ArrayRef>,
    weight: Option<ArrayRef>,
    group: Vec<ArrayRef>,
}

impl Piece {
    fn of(batch: &RecordBatch, columns: &Columns) -> Result<Piece> {
        let column = |index: Option<usize>| index.map(|index| Arc::clone(batch.column(index)));
        let group = columns.group.iter().map(|i| Arc::clone(batch.column(*i)));
        Ok(Piece {
            rows: batch.num_rows(),
            numbers: to_numbers(batch, &columns.features)?,
            time: column(columns.time),
            label: column(columns.label),
            split: column(columns.split),
            weight: column(columns.weight),
            group: group.collect(),
        })
    }
}

#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    async fn read(
        mut stream: SendableRecordBatchStream,
        columns: &Columns,
        joins: &Joins,
    ) -> Result<Pieces> {
        let mut pieces = Vec::new();
        while let Some(batch) = stream.try_next().await.map_err(query::stream_error)? {
            if batch.num_rows() > 0 {
                pieces.push(Piece::of(&joins.add(batch)?, columns)?);
            }
        }
        Ok(Pieces(pieces))
    }

    /// Puts pieces into the order of their first times: where files hold one stretch of time
    /// each, in order, that is all there is to sort.
    fn by_time(&mut self) {
        self.0.sort_by_cached_key(|piece| {
            let time = piece
                .time
                .as_ref()
                .filter(|time| keys::is_whole(time.data_type()))?;
            let first = cast(&time.slice(0, 1), &DataType::Int64).ok()?;
            Some(first.as_primitive::<Int64Type>().value(0))
        });
    }

    fn together(
        self,
        schema: &SchemaRef,
        columns: Columns,
        spec: &DatasetSpec,
        task: Task,
    ) -> Result<Source> {
        let name = |index: usize| schema.field(index).name().as_str();
        let time = self.joined(|piece| piece.time.as_ref())?;
        let label = self.joined(|piece| piece.label.as_ref())?;
        let split = self.joined(|piece| piece.split.as_ref())?;
        let weight = self.joined(|piece| piece.weight.as_ref())?;
        let group = (0..columns.group.len()).map(|i| self.joined(|piece| piece.group.get(i)));
        let group: Vec<ArrayRef> = group.filter_map(Result::transpose).collect::<Result<_>>()?;
        let labels = match (&label, columns.label) {
            (Some(label), Some(at)) => labels::encode(label, name(at), task)?,
            _ => labels::Labels::default(),
        };
        let series = keys::series(&group, &spec.group)?;
        let mut rows = Rows {
            count: self.0.iter().map(|piece| piece.rows).sum(),
            series: series.rows,
            entities: series.entities,
            labels: labels.values,
            width: columns.features.len(),
            ..Rows::default()
        };
        if let (Some(time), Some(at)) = (time, columns.time) {
            rows.times = keys::times(&time, name(at))?;
            rows.shown = Some(time);
        }
        if let (Some(split), Some(at)) = (split, columns.split) {
            rows.sides = keys::sides(&split, name(at))?;
        }
        if let (Some(weight), Some(at)) = (weight, columns.weight) {
            rows.weights = keys::weights(&weight, name(at))?;
        }
        rows.numbers = self.numbers(rows.count * rows.width);
        Ok(Source {
            schema: Arc::clone(schema),
            columns,
            rows,
            classes: labels.classes,
        })
    }

    /// The features of all pieces, `count` numbers.
    fn numbers(self, count: usize) -> Vec<f32> {
        let mut numbers = vec![0.0; count];
        let mut rest = numbers.as_mut_slice();
        let mut places = Vec::with_capacity(self.0.len());
        for piece in self.0 {
            let (place, after) = rest.split_at_mut(piece.numbers.len());
            places.push((place, piece.numbers));
            rest = after;
        }
        places
            .into_par_iter()
            .for_each(|(place, numbers)| place.copy_from_slice(&numbers));
        numbers
    }

    /// One column of all pieces; none where the data set has none of that role.
    fn joined<'a>(
        &'a self,
        column: impl Fn(&'a Piece) -> Option<&'a ArrayRef>,
    ) -> Result<Option<ArrayRef>> {
        let parts: Vec<_> = self
            .0
            .iter()
            .filter_map(|p| column(p).map(AsRef::as_ref))
            .collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let joined = concat(&parts);
        joined.map(Some).map_err(|e| {
            Error::resource_exhausted("the columns of the data set's batches do not go together")
                .with_source(e)
        })
    }
}
