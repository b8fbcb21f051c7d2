//! The engine: one DataFusion runtime (memory, spill, object store) that every statement shares.
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use catalog::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;
use lake::Lake;
use lake::hot::HotBuffer;

use crate::catalogs::PinnedRefs;
use crate::error::stream_error;
use crate::functions::LakeFunction;
use crate::names::FullName;
use crate::pin::pin;
use crate::scope::Scope;
use crate::series;
use crate::session::{Session, SessionOptions, needs_session};
use crate::sql::{self, Parsed};
use crate::statement::{Prepared, QueryOptions, QueryResult};
use crate::table::store_url;

/// Limits and defaults of an [`Engine`].
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes all running queries may hold together before they spill to disk or fail.
    pub memory_limit_bytes: usize,
    /// Partitions a query is spread over.
    pub target_partitions: usize,
    /// Rows per batch inside a query.
    pub batch_size: usize,
    /// The ref of table names without one.
    pub default_branch: String,
    /// The namespace of bare table names.
    pub default_namespace: String,
    /// The author of commits whose user is not known.
    pub author: String,
}

impl Default for EngineConfig {
    /// 1 GiB, a partition per core, 8192 rows, `main`, `public`, `pumphouse`.
    fn default() -> Self {
        EngineConfig {
            memory_limit_bytes: 1 << 30,
            target_partitions: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            batch_size: 8192,
            default_branch: "main".to_owned(),
            default_namespace: "public".to_owned(),
            author: "pumphouse".to_owned(),
        }
    }
}

/// Runs SQL over a [`Lake`]; cheap to clone, safe to share.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    lake: Lake,
    hot: Option<Arc<dyn HotBuffer>>,
    config: EngineConfig,
    functions: Vec<Arc<dyn LakeFunction>>,
    /// What all statements have in common; each works on its own copy.
    base: SessionState,
}

impl Engine {
    /// An engine over `lake`; `hot` adds the rows that are not committed yet.
    pub fn new(lake: Lake, hot: Option<Arc<dyn HotBuffer>>, config: EngineConfig) -> Engine {
        Engine::with_functions(lake, hot, config, Vec::new())
    }

    /// The same with functions of other crates.
    pub fn with_functions(
        lake: Lake,
        hot: Option<Arc<dyn HotBuffer>>,
        config: EngineConfig,
        functions: Vec<Arc<dyn LakeFunction>>,
    ) -> Engine {
        let base = base_state(&lake, &config);
        Engine {
            inner: Arc::new(Inner {
                lake,
                hot,
                config,
                functions,
                base,
            }),
        }
    }

    /// The lake this engine reads.
    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    /// The limits and defaults this engine was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// Plans `sql` and starts it: batches are computed as the stream is polled.
    ///
    /// # Errors
    /// `InvalidInput` for a mistake in the SQL, `NotFound` for a ref or table that is not
    /// there, `Unsupported` for statements that write.
    pub async fn query(&self, sql: &str, options: &QueryOptions) -> Result<QueryResult> {
        let prepared = self.prepare(sql, options.default_ref.as_deref()).await?;
        prepared.bind(&options.params).await?.run()
    }

    /// Runs `sql` to its end, on `default_ref` or the default branch.
    ///
    /// # Errors
    /// Those of [`Engine::query`], and `ResourceExhausted` over the memory limit.
    pub async fn collect(
        &self,
        sql: &str,
        default_ref: Option<&str>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let options = QueryOptions {
            default_ref: default_ref.map(str::to_owned),
            params: Vec::new(),
        };
        let result = self.query(sql, &options).await?;
        let batches = result.stream.map_err(stream_error).try_collect().await?;
        Ok((result.schema, batches))
    }

    /// Plans `sql` with every ref it names pinned to a commit, without running it.
    ///
    /// # Errors
    /// Those of [`Engine::query`].
    pub async fn prepare(&self, sql: &str, default_ref: Option<&str>) -> Result<Prepared> {
        let config = &self.inner.config;
        let scope = Scope {
            default_ref: default_ref.unwrap_or(&config.default_branch).to_owned(),
            default_namespace: config.default_namespace.clone(),
            ..Scope::default()
        };
        match sql::parse(&self.inner.base, sql)? {
            Parsed::Query(statement) => self.plan(*statement, &scope).await,
            Parsed::Action(action) => Err(needs_session(&action.title())),
        }
    }

    /// A session whose statements may write.
    pub fn session(&self, options: SessionOptions) -> Session {
        Session::new(self.clone(), options)
    }

    /// The rows that are not committed yet.
    pub(crate) fn hot(&self) -> Option<&Arc<dyn HotBuffer>> {
        self.inner.hot.as_ref()
    }

    /// The functions made for each statement that calls them.
    pub(crate) fn lake_functions(&self) -> &[Arc<dyn LakeFunction>] {
        &self.inner.functions
    }

    /// What all statements have in common.
    pub(crate) fn base(&self) -> &SessionState {
        &self.inner.base
    }

    /// Plans a statement that reads, its names understood as `scope` says.
    pub(crate) async fn plan(&self, statement: Statement, scope: &Scope) -> Result<Prepared> {
        let names = self.names(&statement, scope)?;
        let refs = pin(self, scope, &names).await?;
        let commits = refs.commits();
        let state = self.planner(&statement, refs, scope).await?;
        let plan = state.statement_to_plan(statement).await;
        let plan = plan.map_err(stream_error)?;
        sql::check_plan(&plan)?;
        Ok(Prepared {
            state: Arc::new(state),
            plan,
            commits,
        })
    }

    /// The types of a writing statement's parameters, as far as the planner knows them.
    pub(crate) async fn parameter_types(
        &self,
        statement: Statement,
        scope: &Scope,
    ) -> HashMap<String, Option<DataType>> {
        let types = async {
            let names = self.names(&statement, scope)?;
            let refs = pin(self, scope, &names).await?;
            let state = self.planner(&statement, refs, scope).await?;
            let plan = state.statement_to_plan(statement).await;
            let plan = plan.map_err(stream_error)?;
            plan.get_parameter_types().map_err(stream_error)
        };
        let types: Result<_> = types.await;
        // What is wrong with the statement is told when it runs.
        types.unwrap_or_default()
    }

    /// The scalar functions of one section of DataFusion's documentation, sorted.
    pub(crate) fn functions(&self, section: &str) -> Vec<String> {
        let functions = self.inner.base.scalar_functions().values();
        let mut names: Vec<String> = functions
            .filter(|function| {
                let about = function.documentation();
                about.is_some_and(|about| about.doc_section.label == section)
            })
            .map(|function| function.name().to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The tables `statement` reads, in full; table functions are not tables.
    pub(crate) fn names(&self, statement: &Statement, scope: &Scope) -> Result<Vec<FullName>> {
        let base = &self.inner.base;
        let references = base.resolve_table_references(statement);
        let references = references.map_err(stream_error)?;
        Ok(references
            .iter()
            .filter(|name| !scope.owns(name))
            .filter(|name| {
                name.schema().is_some() || !base.table_functions().contains_key(name.table())
            })
            .map(|name| scope.full(name))
            .collect())
    }

    /// A session for one statement.
    pub(crate) fn state(&self, refs: PinnedRefs, scope: &Scope) -> SessionState {
        let mut state = self.inner.base.clone();
        state.register_catalog_list(Arc::new(refs));
        let defaults = &mut state.config_mut().options_mut().catalog;
        scope.default_ref.clone_into(&mut defaults.default_catalog);
        let namespace = &scope.default_namespace;
        namespace.clone_into(&mut defaults.default_schema);
        state.mark_start_execution();
        state
    }
}

fn base_state(lake: &Lake, config: &EngineConfig) -> SessionState {
    const CONSUMERS_NAMED_IN_ERRORS: NonZeroUsize =
        NonZeroUsize::new(3).expect("three is not zero");
    let pool = FairSpillPool::new(config.memory_limit_bytes);
    let pool = TrackConsumersPool::new(pool, CONSUMERS_NAMED_IN_ERRORS);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .build_arc()
        .expect("a runtime without a spill folder of its own opens nothing");
    runtime.register_object_store(store_url().as_ref(), lake.store().object_store());
    let mut state = SessionStateBuilder::new()
        .with_config(session_config(config))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_catalog_list(Arc::new(PinnedRefs::default()))
        .build();
    series::register(&mut state).expect("the names of functions are not taken");
    state
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(&config.default_branch, &config.default_namespace)
        .with_target_partitions(config.target_partitions.max(1))
        .with_batch_size(config.batch_size.max(1));
    let options = session.options_mut();
    // As the tables' own times have it, so that now() and they are of one kind.
    options.execution.time_zone = Some("+00:00".to_owned());
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    session
}
