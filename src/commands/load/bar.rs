//! The progress of a load, as a bar on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ingest::load::{Phase, Progress};
use tokio::task::JoinHandle;

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// A bar that follows a load by itself; hidden where stderr is no terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl Bar {
    pub(super) fn over(progress: &Progress) -> Self {
        let bar = ProgressBar::new(0);
        let template =
            "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let (shown, watched) = (bar.clone(), progress.clone());
        let task = tokio::spawn(async move {
            let mut last = None;
            loop {
                let (phase, done, total) = watched.now();
                if last != Some((phase, total)) {
                    // Each phase has a rate of its own.
                    shown.reset();
                    last = Some((phase, total));
                }
                shown.set_message(match phase {
                    Phase::Hash => "looking up",
                    Phase::Survey => "reading",
                    Phase::Write => "loading",
                });
                shown.set_length(total);
                shown.set_position(done);
                tokio::time::sleep(TICK).await;
            }
        });
        Self { bar, task }
    }

    /// Takes the bar away, so that text can be shown.
    pub(super) fn pause(&self) {
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Shows it again.
    pub(super) fn resume(&self) {
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
