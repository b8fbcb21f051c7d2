//! What the demo does, stage by stage.

use catalog::{Catalog, Error, MergeOptions, Result};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use ml::{Metrics, TrainOutcome, TrainProgress, TrainSpec};
use query::flight::Client;

use super::folder::{FEATURES, Folder, TRAIN_SPEC};
use super::pumps::{Pumps, Sent};
use super::{prediction, screen, sql};
use crate::output;
use crate::server::Server;

const BRANCH: &str = "exp";
const MODEL: &str = "ml.pump_fault";

/// A demo under way.
pub(super) struct Demo<'a> {
    server: &'a Server,
    folder: &'a Folder,
    pumps: Pumps,
    client: Client,
}

impl<'a> Demo<'a> {
    /// Connects the pumps and a SQL client to `server`, each over its own socket.
    pub(super) async fn new(server: &'a Server, folder: &'a Folder, fast: bool) -> Result<Self> {
        let flight = server
            .flight
            .ok_or_else(|| Error::internal("the demo's server answers no SQL"))?;
        let pumps = Pumps::connect(server, fast).await?;
        let client = Client::connect(&flight.to_string(), None).await?;
        Ok(Self {
            server,
            folder,
            pumps,
            client,
        })
    }

    fn catalog(&self) -> &Catalog {
        self.server.engine().lake().catalog()
    }

    /// Says what runs where.
    pub(super) fn start(&self) -> Result<()> {
        output::print(
            "Pumphouse demo: pumps publish, SQL answers, a model is trained and merged.",
        )?;
        screen::heading(1, "One process runs everything")?;
        let at = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(String::new, |address| address.to_string())
        };
        screen::say(&format!(
            "MQTT broker  {}\nFlight SQL   {}\nlake         {}/lake",
            at(self.server.mqtt),
            at(self.server.flight),
            self.folder.shown(),
        ))
    }

    /// Lets the pumps publish their history.
    pub(super) async fn rows_arrive(&mut self) -> Result<()> {
        let (pumps, hours) = (self.pumps.plan.pumps, self.pumps.history);
        let title = format!("{pumps} pumps publish {hours} hours of telemetry over MQTT");
        screen::heading(2, &title)?;
        let sent = self.pumps.run(self.server, hours).await?;
        screen::say(&arrived(&sent))?;
        screen::say(
            "A message is acknowledged when it is on disk, and in every query from then on.",
        )
    }

    /// Asks in SQL, and shows that rows without a file are in the answer.
    pub(super) async fn ask(&mut self) -> Result<()> {
        screen::heading(3, "SQL over Arrow Flight")?;
        let (schema, rows) = self.client.collect(sql::SHAKING).await?;
        screen::answer(sql::SHAKING, schema, &rows)?;
        let head = self.catalog().head("main").await?;
        let fresh = sql::fresh(&head.id().short());
        let (schema, rows) = self.client.collect(&fresh).await?;
        screen::answer(&fresh, schema, &rows)?;
        let now = sql::first_number(&rows, "rows_now")?;
        let in_files = sql::first_number(&rows, "rows_in_files")?;
        screen::say(&format!(
            "{} rows are not in a file yet: they are in the log on disk, and answered from memory.",
            HumanCount(u64::try_from(now - in_files).unwrap_or(0))
        ))
    }

    /// Branches off main, with all rows so far committed.
    pub(super) async fn branch(&mut self) -> Result<()> {
        screen::heading(4, "A branch for an experiment")?;
        self.server.flush().await?;
        let head = self.catalog().create_branch(BRANCH, "main", "demo").await?;
        screen::say(&format!(
            "{BRANCH} begins at commit {} of main: the same rows, no copy.",
            head.id.short()
        ))
    }

    /// Trains on the branch and shows what came of it.
    pub(super) async fn train(&mut self) -> Result<()> {
        screen::heading(5, "A model is trained on the branch")?;
        let spec = TrainSpec::from_toml(TRAIN_SPEC)?;
        let engine = self.server.engine();
        let bar = training_bar();
        let trained = ml::train(
            engine.lake(),
            engine,
            &spec,
            BRANCH,
            "demo",
            &mut |progress| {
                show_round(&bar, &progress);
            },
        )
        .await;
        bar.finish_and_clear();
        let trained = trained?;
        screen::say(&what_was_learned(&trained))?;
        if let Metrics::Multiclass(metrics) = &trained.manifest.metrics {
            let rows: Vec<_> = metrics
                .classes
                .iter()
                .map(|class| {
                    [
                        class.class.to_string(),
                        format!("{:.3}", class.precision),
                        format!("{:.3}", class.recall),
                        HumanCount(class.support).to_string(),
                    ]
                })
                .collect();
            screen::say(&output::to_list(
                ["FAULT", "PRECISION", "RECALL", "TEST ROWS"],
                &rows,
            ))?;
        }
        Ok(())
    }

    /// Merges the model into a main that has moved on, and shows it there only then.
    pub(super) async fn merge(&mut self) -> Result<()> {
        screen::heading(6, "Meanwhile main moves on, and merging promotes the model")?;
        let sent = self.pumps.run(self.server, self.pumps.live).await?;
        self.server.flush().await?;
        screen::say(&format!(
            "the pumps run on: {} new rows on main that no training has seen",
            HumanCount(sent.messages)
        ))?;
        screen::say(&format!(
            "models on main before: {}",
            self.models("main").await?
        ))?;
        let options = MergeOptions {
            author: "demo".to_owned(),
            message: Some(format!("promote {MODEL}")),
            ..MergeOptions::default()
        };
        let lake = self.server.engine().lake();
        let report = lake.merge(BRANCH, "main", &options).await?;
        let how = match report.into_result()?.commit {
            Some(id) => format!("commit {} has the rows and the model", id.short()),
            None => "nothing to merge".to_owned(),
        };
        screen::say(&format!("merge {BRANCH} into main:  {how}"))?;
        screen::say(&format!(
            "models on main after:  {}",
            self.models("main").await?
        ))
    }

    async fn models(&self, reference: &str) -> Result<String> {
        let models = ml::models(self.server.engine().lake(), reference).await?;
        if models.is_empty() {
            return Ok("none".to_owned());
        }
        let names: Vec<_> = models.iter().map(|model| model.key.to_string()).collect();
        Ok(names.join(", "))
    }

    /// Predicts for a pump that fails after the training.
    pub(super) async fn predict(&mut self) -> Result<()> {
        screen::heading(7, "The model on main tells a failing pump")?;
        let from = self.pumps.live_from();
        let (_, rows) = self.client.collect(&sql::failing_pump(from)).await?;
        let pump = sql::first_text(&rows, "pump")?;
        let question = sql::features_of(FEATURES.trim_end(), &pump, from);
        let engine = self.server.engine();
        let (_, predicted) = ml::predict(engine.lake(), engine, MODEL, "main", &question).await?;
        prediction::show(&pump, &predicted)
    }

    /// Shows the commits of it all.
    pub(super) async fn history(&mut self) -> Result<()> {
        screen::heading(8, "Data and models share one history")?;
        let rows: Vec<_> = self
            .catalog()
            .log("main", 8)
            .await?
            .iter()
            .map(|commit| {
                let title = commit.message.lines().next().unwrap_or_default();
                [commit.id.short(), commit.author.clone(), title.to_owned()]
            })
            .collect();
        screen::say(&output::to_list(["COMMIT", "AUTHOR", "MESSAGE"], &rows))
    }

    /// Commits the last rows, and names the table's current metadata file.
    pub(super) async fn end(self) -> Result<String> {
        self.pumps.stop().await?;
        self.server.flush().await?;
        let lake = self.server.engine().lake();
        let head = lake.catalog().head("main").await?;
        let table = lake.table(&head, &"pumps.telemetry".parse()?).await?;
        Ok(table.metadata_location().to_owned())
    }
}

fn arrived(sent: &Sent) -> String {
    let rate = sent.messages as f64 / sent.elapsed.as_secs_f64().max(1e-3);
    let commits = match sent.stats.commits {
        1 => "1 commit".to_owned(),
        n => format!("{n} commits"),
    };
    format!(
        "\
{} messages acknowledged in {:.1} s ({} a second)
{} rows in the table, {} of them written to files by {commits}",
        HumanCount(sent.messages),
        sent.elapsed.as_secs_f64(),
        HumanCount(rate.round() as u64),
        HumanCount(sent.stats.rows),
        HumanCount(sent.stats.committed_rows),
    )
}

fn training_bar() -> ProgressBar {
    let bar = ProgressBar::new(0).with_message("reading the data set");
    let style = ProgressStyle::with_template("   {spinner} [{bar:12}] round {pos}/{len}  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn show_round(bar: &ProgressBar, progress: &TrainProgress) {
    bar.set_length(progress.rounds.into());
    bar.set_position(progress.round.into());
    bar.set_message(format!(
        "{} {:.4}, on the test rows {:.4}",
        progress.metric, progress.train, progress.test
    ));
}

fn what_was_learned(trained: &TrainOutcome) -> String {
    let lineage = &trained.manifest.lineage;
    format!(
        "\
{} of {} trees on {} features, from the rows at commit {}
learned from {} rows up to {}, tested on the {} rows after
{}",
        trained.model,
        trained.manifest.rounds,
        trained.manifest.signature.features.len(),
        lineage.commit.short(),
        HumanCount(lineage.rows.train),
        lineage.split_at,
        HumanCount(lineage.rows.test),
        trained.manifest.metrics,
    )
}
