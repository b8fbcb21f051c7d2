//! `pumphouse diff`: what one ref has and another has not, by key or inside a table.

mod keys;
mod table;

use catalog::{Error, Key, Result, Snapshot};
use clap::Args;

use super::{new_engine, open_lake};
use crate::output::Format;
use crate::settings::Settings;

/// Show what changed from one commit to another: which tables, views and models; or, for
/// one table, its columns, files and rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  pumphouse diff main..exp                          # what exp has that main has not
  pumphouse diff main~1 main --stat
  pumphouse diff main@2026-11-01T00:00:00Z..main pumps.telemetry
  pumphouse diff main..exp pumps.telemetry --rows")]
pub(crate) struct DiffArgs {
    /// FROM..TO, or FROM TO; and a table to look into
    #[arg(value_name = "FROM..TO [TABLE] | FROM TO [TABLE]", required = true, num_args = 1..=3)]
    what: Vec<String>,
    /// Count files and rows
    #[arg(long)]
    stat: bool,
    /// Show the rows of the table that were added and removed
    #[arg(long)]
    rows: bool,
    /// How to print rows
    #[arg(long, value_enum, default_value_t, requires = "rows")]
    format: Format,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Two ends, and a table to look into.
#[derive(Debug, PartialEq, Eq)]
struct What {
    from: String,
    to: String,
    table: Option<Key>,
}

/// Both ends as they are now.
struct Ends {
    what: What,
    before: Snapshot,
    after: Snapshot,
}

/// Compares on the lake itself; no server is needed.
pub(crate) async fn run(args: DiffArgs, settings: Settings) -> Result<()> {
    let what = parse(&args.what)?;
    let lake = open_lake(&settings).await?;
    let catalog = lake.catalog();
    let ends = Ends {
        before: catalog.resolve(&what.from).await?,
        after: catalog.resolve(&what.to).await?,
        what,
    };
    let Some(key) = ends.what.table.clone() else {
        if args.rows {
            let error = Error::invalid("rows are compared table by table");
            return Err(error
                .with_hint("name a table, such as `pumphouse diff A..B pumps.telemetry --rows`"));
        }
        return keys::show(&lake, &ends, args.stat, args.json).await;
    };
    if args.rows {
        let format = if args.json { Format::Json } else { args.format };
        let engine = new_engine(&settings, lake, None);
        return table::rows(&engine, &key, &ends.what, format).await;
    }
    table::show(&lake, &ends, &key, args.json).await
}

fn parse(words: &[String]) -> Result<What> {
    let (from, to, table) = match words {
        [range, rest @ ..] if range.contains("..") => {
            let (from, to) = range.split_once("..").unwrap_or_default();
            (from, to, rest)
        }
        [from, to, rest @ ..] => (from.as_str(), to.as_str(), rest),
        _ => ("", "", words),
    };
    if to.starts_with('.') || table.len() > 1 || (from.is_empty() && to.is_empty()) {
        let error = Error::invalid(format!("{:?} does not name two ends", words.join(" ")));
        return Err(error.with_hint("write FROM..TO, such as `pumphouse diff main..exp`"));
    }
    let or_main = |name: &str| match name {
        "" => catalog::MAIN.to_owned(),
        name => name.to_owned(),
    };
    Ok(What {
        from: or_main(from),
        to: or_main(to),
        table: table.first().map(|key| key.parse()).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(words: &[&str]) -> Result<What> {
        parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn ends_are_a_range_or_two_names() {
        let expected = |table: Option<&str>| What {
            from: "main".into(),
            to: "team/exp".into(),
            table: table.map(|key| key.parse().unwrap()),
        };
        assert_eq!(what(&["main..team/exp"]).unwrap(), expected(None));
        assert_eq!(what(&["..team/exp"]).unwrap(), expected(None));
        assert_eq!(what(&["main", "team/exp"]).unwrap(), expected(None));
        let table = expected(Some("pumps.telemetry"));
        assert_eq!(what(&["main..team/exp", "pumps.telemetry"]).unwrap(), table);
        assert_eq!(
            what(&["main", "team/exp", "pumps.telemetry"]).unwrap(),
            table
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for words in [
            &["main"][..],
            &["main...exp"],
            &[".."],
            &["a..b", "c.d", "e.f"],
        ] {
            let error = what(words).unwrap_err();
            assert_eq!(error.kind(), catalog::ErrorKind::InvalidInput, "{words:?}");
        }
    }
}
