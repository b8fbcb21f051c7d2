//! `pumphouse predict`: apply a model to the rows of a query.

use catalog::Result;
use clap::Args;
use futures::stream;

use super::{new_engine, open_lake};
use crate::output::{self, Format};
use crate::settings::Settings;

/// Apply a model to the rows of a query.
///
/// The query has to give the columns that the model was trained on; its other columns
/// stand beside the prediction. The lake is opened here, and shows committed rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse predict ml.pump_fault --sql \"$(cat sql/features/pump_features.sql)\"
  pumphouse predict ml.quality --ref exp --sql 'select * from lab.samples limit 10' --format csv")]
pub(crate) struct PredictArgs {
    /// The model, as namespace.name
    model: String,
    /// Query whose rows to predict for
    #[arg(long, value_name = "SQL", allow_hyphen_values = true)]
    sql: String,
    /// Branch, branch@time, branch@commit or commit of the model and of the query
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    reference: String,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Predicts from the lake itself; no server is needed.
pub(crate) async fn run(args: PredictArgs, settings: Settings) -> Result<()> {
    let lake = open_lake(&settings).await?;
    let engine = new_engine(&settings, lake.clone(), None);
    let (schema, rows) =
        ml::predict(&lake, &engine, &args.model, &args.reference, &args.sql).await?;
    output::print_rows(args.format, schema, stream::iter(rows.into_iter().map(Ok))).await?;
    Ok(())
}
