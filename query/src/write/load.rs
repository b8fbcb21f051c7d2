//! Rows that a client sends as Arrow batches, into a table that is there or is made for them.
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Field, Schema};
use catalog::{Error, Result, Snapshot};
use datafusion::common::TableReference;
use lake::TableSpec;

use super::{Staged, Target, WriteContext, table};
use crate::dml;
use crate::names::FullName;
use crate::scope::Scope;
use crate::statement::QueryResult;

/// What to do where the table is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfMissing {
    Create,
    Fail,
}

/// What to do where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfThere {
    Fail,
    Append,
    Replace,
}

/// Rows for one table. They are read once, so clones share them.
#[derive(Clone)]
pub(crate) struct Load {
    name: TableReference,
    if_missing: IfMissing,
    if_there: IfThere,
    rows: Arc<Mutex<Option<QueryResult>>>,
}

impl Load {
    pub(crate) fn new(
        name: TableReference,
        if_missing: IfMissing,
        if_there: IfThere,
        rows: QueryResult,
    ) -> Self {
        Load {
            name,
            if_missing,
            if_there,
            rows: Arc::new(Mutex::new(Some(rows))),
        }
    }

    pub(super) fn name(&self) -> &TableReference {
        &self.name
    }

    /// The table whose rows go.
    pub(super) fn replaced(&self, scope: &Scope) -> Vec<FullName> {
        match self.if_there {
            IfThere::Replace => vec![scope.full(&self.name)],
            IfThere::Fail | IfThere::Append => Vec::new(),
        }
    }

    pub(super) async fn stage(&self, context: &WriteContext, working: &Snapshot) -> Result<Staged> {
        let name = context.scope().full(&self.name);
        let key = name.key()?;
        let found = working.get(&key)?;
        let there = found.is_some();
        if there && self.if_there == IfThere::Fail {
            return Err(Error::already_exists(format!("{key} is there already"))
                .with_hint("append to it, or replace it"));
        }
        table::check_replaced(&key, found.as_ref())?;
        let rows = self
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let rows = rows.ok_or_else(|| {
            Error::conflict(format!("{key} was changed while rows were loaded"))
                .with_hint("send the rows again")
        })?;
        if there && self.if_there == IfThere::Append || !there && self.if_missing == IfMissing::Fail
        {
            let target = table::target(context, working, &name).await?;
            return dml::append_rows(context, &target, rows).await;
        }
        let base = table::without(working, &key, found.as_ref())?;
        let fields = rows.schema.fields().iter();
        let fields: Vec<Field> = fields
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect();
        let spec = TableSpec {
            schema: Arc::new(Schema::new(fields)),
            ..TableSpec::default()
        };
        let made = context.lake().stage_create(&base, &key, &spec).await?;
        let snapshot = base.with(std::slice::from_ref(&made))?;
        let target = Target {
            table: context.lake().table(&snapshot, &key).await?,
            key,
        };
        table::filled(context, &target, made, rows).await
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Load({})", self.name)
    }
}
