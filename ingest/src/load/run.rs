//! Doing a load: the rows become files, and one commit holds them all.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use catalog::{CommitId, CommitMeta, Error, ErrorKind, Operation, Result, Snapshot};
use chrono::{SecondsFormat, Utc};
use lake::{Alter, DataFile, Lake, Table, TableSpec};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::build;
use super::column::Standing;
use super::ledger;
use super::plan::{self, Plan};
use super::progress::{Phase, Progress};

/// Batches on their way to the writer.
const WAITING_BATCHES: usize = 2;
/// Times a load is tried again because another writer was first.
const MOST_ATTEMPTS: usize = 3;

/// What came of a load.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The rows are in the table.
    Loaded(Loaded),
    /// Another load brought the same files meanwhile: the plan that is left, without files.
    Overtaken(Box<Plan>),
}

/// A load that is done.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its commit.
    pub commit: CommitId,
    /// Rows added.
    pub rows: u64,
    /// Data files written.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

impl Plan {
    /// Loads all files in one commit by `author`; or none, and nothing is changed.
    ///
    /// Where another writer is first, what it did is looked at and the load made anew.
    ///
    /// # Errors
    /// Those of reading and writing; `Conflict` when others keep being first.
    pub async fn run(
        self,
        lake: &Lake,
        author: &str,
        message: Option<&str>,
        progress: &Progress,
    ) -> Result<Outcome> {
        let mut plan = self;
        for attempt in 1.. {
            let load = Load::new(&plan);
            let failure = match load.run(lake, author, message, progress).await {
                Ok(loaded) => return Ok(Outcome::Loaded(loaded)),
                Err(failure) => failure,
            };
            // The commit of which no answer came may have been made.
            if let Some(loaded) = load.found(lake, &failure).await {
                return Ok(Outcome::Loaded(loaded));
            }
            if failure.kind() != ErrorKind::Conflict || attempt == MOST_ATTEMPTS {
                return Err(failure);
            }
            tracing::info!(error = %failure, "another writer was first, planning anew");
            let Plan {
                destination,
                gathered,
                reading,
                ..
            } = plan;
            plan = Plan::make(lake, &destination, gathered, reading.options, progress).await?;
            if plan.reading.files.is_empty() {
                return Ok(Outcome::Overtaken(Box::new(plan)));
            }
        }
        Err(Error::internal("a load neither ended nor failed"))
    }
}

/// One attempt at a plan.
struct Load<'p> {
    plan: &'p Plan,
    /// Names it in the table and in the commit.
    id: String,
}

impl<'p> Load<'p> {
    fn new(plan: &'p Plan) -> Self {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let run = Uuid::new_v4().simple().to_string();
        Self {
            plan,
            id: format!("{now} {}", &run[..8]),
        }
    }

    fn inputs(&self) -> impl Iterator<Item = &'p super::input::Input> {
        self.plan.reading.files.iter().map(|file| &file.input)
    }

    async fn run(
        &self,
        lake: &Lake,
        author: &str,
        message: Option<&str>,
        progress: &Progress,
    ) -> Result<Loaded> {
        let destination = &self.plan.destination;
        let catalog = lake.catalog();
        let base = catalog.resolve_to_build_on(&destination.branch).await?;
        self.check_unloaded(lake, &base).await?;
        let (table, prepared) = self.prepare(lake, &base).await?;
        let files = self.write(lake, &table, progress).await?;
        let written = |files: &[DataFile]| {
            (
                files.len(),
                files.iter().map(DataFile::file_size_in_bytes).sum(),
            )
        };
        let (count, bytes) = written(&files);
        let operation = match files.is_empty() {
            true => prepared,
            false => lake.stage_append(&table, files, BTreeMap::new()).await?,
        };
        let message = message.map_or_else(|| self.message(), str::to_owned);
        let mut meta = CommitMeta::new(author, message);
        let properties = ledger::commit_properties(self.inputs(), &self.id, &destination.key);
        meta.properties.extend(properties);
        let operations = vec![operation];
        let committed = lake
            .commit(&destination.branch, meta, &base, operations)
            .await?;
        Ok(Loaded {
            commit: committed.id(),
            rows: self.plan.reading.rows(),
            files: count,
            bytes,
        })
    }

    /// Refuses files that another load has brought since the plan was made: `base` has their rows,
    /// so nothing would clash with it in the end.
    async fn check_unloaded(&self, lake: &Lake, base: &Snapshot) -> Result<()> {
        let key = &self.plan.destination.key;
        if self.plan.reading.options.again || !base.contains(key)? {
            return Ok(());
        }
        let table = lake.table(base, key).await?;
        let mut inputs = self.inputs();
        match inputs.find(|input| ledger::loaded_by(table.metadata(), input).is_some()) {
            Some(input) => Err(Error::conflict(format!(
                "{} was loaded into {key} meanwhile",
                input.name
            ))),
            None => Ok(()),
        }
    }

    fn message(&self) -> String {
        let (plan, key) = (self.plan, &self.plan.destination.key);
        let rows = plan.reading.rows();
        match plan.reading.files.as_slice() {
            [file] => format!("load {} into {key}: {rows} rows", file.input.file_name()),
            files => format!("load {} files into {key}: {rows} rows", files.len()),
        }
    }

    /// Makes the table or brings it to the columns of the load; with the properties that name
    /// the files. Only staged: nothing is changed.
    async fn prepare(&self, lake: &Lake, base: &Snapshot) -> Result<(Table, Operation)> {
        let key = &self.plan.destination.key;
        let properties = ledger::table_properties(self.inputs(), &self.id);
        let operation = if base.contains(key)? {
            let mut alters: Vec<_> = self
                .plan
                .reading
                .columns
                .iter()
                .filter_map(|column| {
                    let (name, data_type) = (column.name.clone(), column.data_type.clone());
                    match column.standing {
                        Standing::There => None,
                        Standing::Added => Some(Alter::AddColumn { name, data_type }),
                        Standing::Widened => Some(Alter::WidenColumn {
                            name,
                            to: data_type,
                        }),
                    }
                })
                .collect();
            alters.push(Alter::SetProperties(properties));
            let table = lake.table(base, key).await?;
            lake.stage_alter(&table, &alters).await?
        } else {
            let layout = &self.plan.layout;
            let spec = TableSpec {
                schema: build::schema(&self.plan.reading.columns),
                partition: layout.partition.clone(),
                sort: layout.sort.clone(),
                bloom: layout.bloom.clone(),
                properties,
                ..TableSpec::default()
            };
            lake.stage_create(base, key, &spec).await?
        };
        let staged = base.with(std::slice::from_ref(&operation))?;
        Ok((lake.table(&staged, key).await?, operation))
    }

    /// Writes all rows as files of the table.
    async fn write(
        &self,
        lake: &Lake,
        table: &Table,
        progress: &Progress,
    ) -> Result<Vec<DataFile>> {
        progress.begin(Phase::Write, self.plan.reading.bytes());
        let (sender, mut receiver) = mpsc::channel::<Result<RecordBatch>>(WAITING_BATCHES);
        let (reading, progress) = (self.plan.reading.clone(), progress.clone());
        let reader = tokio::task::spawn_blocking(move || {
            let mut sent = 0;
            let read = reading.rows_of(&reading.files, &progress, &mut |batch| {
                sent += batch.num_rows() as u64;
                let gone = |_| Error::unavailable("the writer has stopped");
                sender.blocking_send(Ok(batch)).map_err(gone)
            });
            if let Err(error) = read {
                // Where nobody takes it, the writer has failed itself.
                let _ = sender.blocking_send(Err(error));
            }
            sent
        });
        let batches = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        let files = lake.write_stream(table, batches).await?;
        let sent = reader.await;
        let sent = sent.map_err(|e| Error::internal("reading was interrupted").with_source(e))?;
        if sent != self.plan.reading.rows() {
            let (first, key) = (self.plan.reading.rows(), &self.plan.destination.key);
            return Err(Error::internal(format!(
                "the files for {key} had {first} rows at first and then {sent}"
            )));
        }
        Ok(files)
    }

    /// The load, if its commit was made although an error says that it may not have been.
    async fn found(&self, lake: &Lake, failure: &Error) -> Option<Loaded> {
        if failure.kind() != ErrorKind::Unavailable {
            return None;
        }
        let destination = &self.plan.destination;
        let table = plan::table(lake, destination).await.ok()??;
        let first = self.plan.reading.files.first()?;
        if ledger::loaded_by(table.metadata(), &first.input)? != self.id {
            return None;
        }
        let log = lake.catalog().log(&destination.branch, 1_000).await.ok()?;
        let id = "load.id";
        let commit = log
            .iter()
            .find(|commit| commit.properties.get(id) == Some(&self.id))?;
        Some(Loaded {
            commit: commit.id,
            rows: self.plan.reading.rows(),
            files: 0,
            bytes: 0,
        })
    }
}
