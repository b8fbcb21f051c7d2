//! Files with settled columns, ready to be read for their rows.

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Error, Key, Result};
use lake::Table;

use super::build::{self, Batches};
use super::column::{self, Column, Standing, Target};
use super::format::{self, Format};
use super::gather::Gathered;
use super::input::Input;
use super::options::LoadOptions;
use super::parquet_file;
use super::progress::{Phase, Progress};
use super::rows;
use super::survey::{self, no_column};

/// Files with settled columns.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The files.
    pub files: Vec<PlannedFile>,
    /// The columns of all of them.
    pub columns: Vec<Column>,
    pub(super) options: LoadOptions,
}

/// A file of a load.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// The file.
    pub input: Input,
    /// Its format.
    pub format: Format,
    /// Its rows.
    pub rows: u64,
}

/// Earliest and latest time of columns, in microseconds, by their names.
pub(super) type Times = HashMap<String, (i64, i64)>;

/// The columns of files before they are settled with a table.
enum Found {
    Rows(survey::Survey),
    Stored(parquet_file::Contents),
}

impl Reading {
    /// Reads the files, each content once, and settles their columns by themselves.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn of(gathered: Gathered, options: LoadOptions, progress: &Progress) -> Result<Self> {
        let read = read(gathered.inputs, options, None, progress).await;
        read.map(|(reading, _)| reading)
    }

    /// All rows of the files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The size of the files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.input.bytes).sum()
    }

    /// Hands all rows of some of the files to `take`, until it fails.
    ///
    /// # Errors
    /// Those of reading, and that of `take`.
    pub fn rows_of(
        &self,
        files: &[PlannedFile],
        progress: &Progress,
        take: &mut dyn FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let columns = &self.columns;
        if files
            .first()
            .is_some_and(|file| file.format == Format::Parquet)
        {
            let schema = build::schema(columns);
            for file in files {
                parquet_file::read(&file.input, columns, &schema, progress, take)?;
            }
            return Ok(());
        }
        let mut batches = Batches::new(columns, &self.options.notation, take);
        for file in files {
            batches.begin(|at| rows::place(&file.input, file.format, at));
            rows::read(
                &file.input,
                file.format,
                &self.options,
                progress,
                &mut batches,
            )?;
        }
        batches.flush()
    }
}

/// Reads files and settles their columns with those of `table`.
pub(super) async fn read(
    inputs: Vec<Input>,
    options: LoadOptions,
    table: Option<Table>,
    progress: &Progress,
) -> Result<(Reading, Times)> {
    let progress = progress.clone();
    let work = move || {
        let (files, found) = look(inputs, &options, &progress)?;
        let mut reading = Reading {
            files,
            columns: Vec::new(),
            options,
        };
        let key = table.as_ref().map(Table::key);
        let schema = table.as_ref().map(Table::arrow_schema);
        reading.settle(&found, key.zip(schema.as_ref()))?;
        Ok((reading, found.times()))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal("reading was interrupted").with_source(e))?
}

impl Reading {
    fn settle(&mut self, found: &Found, table: Option<(&Key, &SchemaRef)>) -> Result<()> {
        let rows = self.rows();
        let target = |name: &str| {
            let (key, schema) = table?;
            let field = schema.field_with_name(name).ok()?;
            let data_type = field.data_type();
            Some(Target { key, data_type })
        };
        let options = &self.options;
        let columns: Result<Vec<_>> = match found {
            Found::Rows(survey) => {
                let settle = |profile: &super::profile::Profile| {
                    let declared = options.types.get(&profile.name);
                    let is_time = options.time.as_ref() == Some(&profile.name);
                    let target = target(&profile.name);
                    column::settle(profile, rows, declared, target.as_ref(), is_time)
                };
                survey.profiles.iter().map(settle).collect()
            }
            Found::Stored(contents) => {
                let columns = contents.columns.iter();
                let settled = columns.map(|it| it.settle(rows, target(&it.name).as_ref()));
                settled.collect()
            }
        };
        self.columns = columns?;
        for column in &mut self.columns {
            if table.is_some() && target(&column.name).is_none() {
                column.standing = Standing::Added;
            }
        }
        if let Some((key, schema)) = table {
            self.check_case(key, schema)?;
            self.check_required(key, schema)?;
        }
        self.check_flags()
    }

    /// # Errors
    /// `Conflict` for a new column that differs from one of the table only in case.
    fn check_case(&self, key: &Key, schema: &SchemaRef) -> Result<()> {
        let added = |column: &&Column| column.standing == Standing::Added;
        for column in self.columns.iter().filter(added) {
            let folded = column.name.to_lowercase();
            let mut known = schema.fields().iter();
            if let Some(like) = known.find(|field| field.name().to_lowercase() == folded) {
                return Err(Error::conflict(format!(
                    "column {:?} differs from {:?} of {key} only in case",
                    column.name,
                    like.name()
                ))
                .with_hint("spell the name in one way"));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `Conflict` for a column of the table that must have values and gets none.
    fn check_required(&self, key: &Key, schema: &SchemaRef) -> Result<()> {
        let required = schema.fields().iter().filter(|field| !field.is_nullable());
        for field in required {
            let mut columns = self.columns.iter();
            let lacking = match columns.find(|column| column.name == *field.name()) {
                // What is not known here is seen when the rows are written.
                Some(column) => column.nulls.unwrap_or(0),
                None => self.rows(),
            };
            if lacking > 0 {
                return Err(Error::conflict(format!(
                    "column {:?} of {key} is required, and {lacking} rows have no value of it",
                    field.name()
                ))
                .with_hint(format!(
                    "fill it, or let it be empty: alter table {key} alter column {} drop not null",
                    field.name()
                )));
            }
        }
        Ok(())
    }

    fn check_flags(&self) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        let options = &self.options;
        for (flag, name) in [("--time", &options.time), ("--device", &options.device)] {
            if let Some(name) = name.as_deref().filter(|name| !names.contains(name)) {
                return Err(no_column(flag, name, &names));
            }
        }
        Ok(())
    }
}

impl Found {
    fn times(&self) -> Times {
        let all: Vec<(&String, Option<(i64, i64)>)> = match self {
            Self::Rows(survey) => survey.profiles.iter().map(|p| (&p.name, p.times)).collect(),
            Self::Stored(contents) => {
                let columns = contents.columns.iter();
                columns.map(|column| (&column.name, column.times)).collect()
            }
        };
        let all = all.into_iter();
        all.filter_map(|(name, times)| Some((name.clone(), times?)))
            .collect()
    }
}

/// Which files there are, and what their columns hold.
fn look(
    inputs: Vec<Input>,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<(Vec<PlannedFile>, Found)> {
    progress.begin(Phase::Survey, inputs.iter().map(|input| input.bytes).sum());
    let mut files = Vec::with_capacity(inputs.len());
    for input in inputs {
        let format = match options.format {
            Some(format) => format,
            None => format::detect(&input, progress)?,
        };
        files.push((input, format));
    }
    let (found, rows) = match all_parquet(&files)? {
        true => {
            let inputs: Vec<Input> = files.iter().map(|(input, _)| input.clone()).collect();
            let contents = parquet_file::contents(&inputs, progress)?;
            let rows = contents.rows.clone();
            (Found::Stored(contents), rows)
        }
        false => {
            let survey = survey::survey(&files, options, progress)?;
            let rows = survey.rows.clone();
            (Found::Rows(survey), rows)
        }
    };
    let files = files.into_iter().zip(rows);
    let planned = files.map(|((input, format), rows)| PlannedFile {
        input,
        format,
        rows,
    });
    Ok((planned.collect(), found))
}

/// # Errors
/// `Unsupported` where some are and some are not.
fn all_parquet(files: &[(Input, Format)]) -> Result<bool> {
    let mut first: BTreeMap<bool, &str> = BTreeMap::new();
    for (input, format) in files {
        first
            .entry(*format == Format::Parquet)
            .or_insert(&input.name);
    }
    match (first.get(&true), first.get(&false)) {
        (Some(parquet), Some(other)) => Err(Error::unsupported(format!(
            "{parquet} is a Parquet file, and {other} is none"
        ))
        .with_hint("load Parquet files and others with two calls")),
        (parquet, _) => Ok(parquet.is_some()),
    }
}
