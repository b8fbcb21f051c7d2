//! What a load will do, settled before it does it.

use catalog::{Content, Error, Key, Result};
use lake::{Lake, Table};

use super::gather::Gathered;
use super::input::Input;
use super::layout::{self, Layout};
use super::ledger;
use super::options::LoadOptions;
use super::progress::Progress;
use super::reading::{self, Reading, Times};

/// The table that files are loaded into.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The branch.
    pub branch: String,
    /// The table on it.
    pub key: Key,
}

/// What a load will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the rows go.
    pub destination: Destination,
    /// Whether the table is made.
    pub creates: bool,
    /// The files that are loaded, and their columns.
    pub reading: Reading,
    /// Names of files that are not loaded, and why.
    pub skipped: Vec<(String, String)>,
    /// How the table is laid out.
    pub layout: Layout,
    pub(super) gathered: Gathered,
}

impl Plan {
    /// Reads the files that `destination` does not have yet, and settles what to do with them.
    ///
    /// # Errors
    /// Those of reading, and `Conflict` naming the first value that the table does not take.
    pub async fn make(
        lake: &Lake,
        destination: &Destination,
        gathered: Gathered,
        options: LoadOptions,
        progress: &Progress,
    ) -> Result<Self> {
        check_branch(lake, &destination.branch).await?;
        let table = table(lake, destination).await?;
        let (inputs, skipped) = fresh(&gathered, table.as_ref(), &options);
        let (reading, times) = reading::read(inputs, options, table.clone(), progress).await?;
        let layout = match &table {
            Some(table) => Layout::of(table.metadata()),
            None => new_layout(&reading, &times),
        };
        Ok(Self {
            destination: destination.clone(),
            creates: table.is_none(),
            reading,
            skipped,
            layout,
            gathered,
        })
    }
}

/// The layout of a new table, whose columns have `times`.
fn new_layout(reading: &Reading, times: &Times) -> Layout {
    let options = &reading.options;
    let time = options.time.as_deref();
    let time = time.or_else(|| layout::time_column(&reading.columns));
    let range = time.and_then(|time| times.get(time).copied());
    let device = options.device.as_deref();
    Layout::choose(time, device, range, options.partition, reading.bytes())
}

/// Refuses at once what the commit would refuse in the end.
async fn check_branch(lake: &Lake, branch: &str) -> Result<()> {
    let reference = lake.catalog().reference(branch).await?;
    if reference.protected {
        return Err(
            Error::permission_denied(format!("branch {branch:?} is protected"))
                .with_hint("load into another branch and merge that"),
        );
    }
    Ok(())
}

/// The table, if it is there.
pub(super) async fn table(lake: &Lake, destination: &Destination) -> Result<Option<Table>> {
    let head = lake.catalog().head(&destination.branch).await?;
    let key = &destination.key;
    match head.get(key)? {
        None => Ok(None),
        Some(Content::IcebergTable { .. }) => lake.table(&head, key).await.map(Some),
        Some(other) => {
            let what = other.type_name();
            Err(Error::invalid(format!("{key} is a {what}, not a table")))
        }
    }
}

/// The files that the table does not have, and why the others are left out.
fn fresh(
    gathered: &Gathered,
    table: Option<&Table>,
    options: &LoadOptions,
) -> (Vec<Input>, Vec<(String, String)>) {
    let twins = gathered.twins.iter();
    let mut skipped: Vec<_> = twins
        .map(|(name, first)| (name.clone(), format!("the same as {first}")))
        .collect();
    let mut inputs = Vec::new();
    for input in &gathered.inputs {
        let load = table.and_then(|table| ledger::loaded_by(table.metadata(), input));
        match load.filter(|_| !options.again) {
            Some(load) => skipped.push((input.name.clone(), format!("loaded already ({load})"))),
            None => inputs.push(input.clone()),
        }
    }
    (inputs, skipped)
}
