//! One SQL statement on its way: options, the pinned plan, bound parameters, the rows.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{CommitId, Error, Result};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};

use crate::error::stream_error;
use crate::output::{conform, plain_schema};

/// How a statement is to be read.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// The ref of table names without one; `None` is the engine's default branch.
    pub default_ref: Option<String>,
    /// Values of `$1`, `$2`, ... in order; `?` counts from left to right.
    pub params: Vec<ScalarValue>,
}

/// A running statement.
pub struct QueryResult {
    /// The columns of every batch of `stream`: no view and no dictionary types.
    pub schema: SchemaRef,
    /// The rows; an error ends it. [`crate::stream_error`] makes it one of ours.
    pub stream: SendableRecordBatchStream,
    /// The commit each ref of the statement was pinned to, the default ref included.
    pub commits: BTreeMap<String, CommitId>,
}

/// A planned statement, pinned to commits, its parameters still open.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) state: Arc<SessionState>,
    pub(crate) plan: LogicalPlan,
    pub(crate) commits: BTreeMap<String, CommitId>,
}

impl Prepared {
    /// The columns of the result, as far as they are known before parameters are bound.
    pub fn schema(&self) -> SchemaRef {
        let analyzed = self.state.analyzer().execute_and_check(
            self.plan.clone(),
            self.state.config_options(),
            |_, _| {},
        );
        let plan = analyzed.as_ref().unwrap_or(&self.plan);
        plain_schema(plan.schema().as_arrow())
    }

    /// The open parameters, `$1` first, named like that, with the types the planner
    /// inferred; `Null` where it could not.
    ///
    /// # Errors
    /// `InvalidInput` for named parameters and for gaps in the numbering.
    pub fn parameters(&self) -> Result<SchemaRef> {
        let types = self.plan.get_parameter_types().map_err(stream_error)?;
        let mut fields = Vec::with_capacity(types.len());
        for number in 1..=types.len() {
            let name = format!("${number}");
            let Some(data_type) = types.get(&name) else {
                let names: Vec<&str> = types.keys().map(String::as_str).collect();
                return Err(Error::invalid(format!(
                    "parameter {name} is missing among {}",
                    names.join(", ")
                ))
                .with_hint("number parameters $1, $2, ... without gaps, or use ?"));
            };
            let data_type = data_type.clone().unwrap_or(DataType::Null);
            fields.push(Field::new(name, data_type, true));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// The commit each ref was pinned to.
    pub fn commits(&self) -> &BTreeMap<String, CommitId> {
        &self.commits
    }

    /// Gives every parameter its value and settles how the statement will run.
    ///
    /// # Errors
    /// `InvalidInput` when the number of values is wrong or a type does not fit.
    pub async fn bind(&self, params: &[ScalarValue]) -> Result<Bound> {
        let expected = self.parameters()?.fields().len();
        if expected != params.len() {
            return Err(Error::invalid(format!(
                "the statement takes {expected} parameter(s), {} given",
                params.len()
            )));
        }
        let mut plan = self.plan.clone();
        if expected > 0 {
            let values = ParamValues::from(params.to_vec());
            plan = plan.with_param_values(values).map_err(stream_error)?;
        }
        let physical = self.state.create_physical_plan(&plan).await;
        let physical = physical.map_err(stream_error)?;
        Ok(Bound {
            state: Arc::clone(&self.state),
            schema: plain_schema(&physical.schema()),
            plan: physical,
            commits: self.commits.clone(),
        })
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({})", self.plan.display())
    }
}

/// A statement ready to run once.
pub struct Bound {
    state: Arc<SessionState>,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    commits: BTreeMap<String, CommitId>,
}

impl Bound {
    /// The columns of the result, exactly as its batches will have them.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Starts the statement; rows are computed as the stream is polled, and dropping the
    /// stream cancels it.
    ///
    /// # Errors
    /// When an operator cannot start; later errors come through the stream.
    pub fn run(self) -> Result<QueryResult> {
        let stream = execute_stream(self.plan, self.state.task_ctx()).map_err(stream_error)?;
        Ok(QueryResult {
            stream: conform(stream, Arc::clone(&self.schema)),
            schema: self.schema,
            commits: self.commits,
        })
    }
}

/// The operators whose answer to a row depends on that row alone.
const ROW_BY_ROW: [&str; 9] = [
    "DataSourceExec",
    "FilterExec",
    "ProjectionExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "RepartitionExec",
    "CooperativeExec",
    "UnionExec",
    "NoLimitExec",
];

impl Bound {
    /// Whether each row of the answer comes from one row of a table and nothing else, so that
    /// the same rows come, in whatever order, however many partitions work on them.
    pub fn is_row_by_row(&self) -> bool {
        let mut plans = vec![&self.plan];
        while let Some(plan) = plans.pop() {
            if !ROW_BY_ROW.contains(&plan.name()) || plan.fetch().is_some() {
                return false;
            }
            plans.extend(plan.children());
        }
        true
    }

    /// Starts the statement as [`Bound::run`] does, with a stream for each partition: these
    /// may be polled by several threads.
    ///
    /// # Errors
    /// Those of [`Bound::run`].
    pub fn run_apart(self) -> Result<Vec<SendableRecordBatchStream>> {
        let partitions = self.plan.output_partitioning().partition_count();
        let start = |partition| {
            let stream = self.plan.execute(partition, self.state.task_ctx());
            let stream = stream.map_err(stream_error)?;
            Ok(conform(stream, Arc::clone(&self.schema)))
        };
        (0..partitions).map(start).collect()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound({:?})", self.schema)
    }
}
