//! One publishing command from the first message to the report.

use std::fmt;
use std::time::Duration;

use catalog::Result;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use tokio::time::Instant;

use super::{BrokerAddress, Delivery, Message, Pace, Publisher};

/// What a publishing command did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    delivery: Delivery,
    elapsed: Duration,
    /// True when Ctrl-C ended it before the messages did.
    interrupted: bool,
}

/// Publishes `messages` at `rate` a second (0: as fast as the broker takes them), until
/// they end or Ctrl-C, and waits for every acknowledgement. `total` is their number, when
/// known, for the progress bar on stderr.
///
/// Errors: those of the broker's connection; those of `messages`, once what came before
/// is acknowledged.
pub(crate) async fn publish_all(
    broker: &BrokerAddress,
    name: &str,
    messages: impl Iterator<Item = Result<Message>>,
    rate: f64,
    total: Option<u64>,
) -> Result<Report> {
    let mut publisher = Publisher::connect(broker, name).await?;
    let bar = progress_bar(total);
    let started = Instant::now();
    let sent = tokio::select! {
        sent = send(&mut publisher, messages, rate, &bar) => sent.map(|()| false),
        Ok(()) = tokio::signal::ctrl_c() => Ok(true),
    };
    let delivery = publisher.finish().await;
    bar.finish_and_clear();
    let interrupted = sent?;
    Ok(Report {
        delivery: delivery?,
        elapsed: started.elapsed(),
        interrupted,
    })
}

async fn send(
    publisher: &mut Publisher,
    messages: impl Iterator<Item = Result<Message>>,
    rate: f64,
    bar: &ProgressBar,
) -> Result<()> {
    let mut pace = Pace::new(rate);
    for message in messages {
        let message = message?;
        pace.next().await;
        publisher.publish(message).await?;
        bar.set_position(publisher.acknowledged());
    }
    Ok(())
}

/// A bar on stderr, hidden when that is no terminal.
fn progress_bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{spinner} [{bar:30}] {human_pos}/{human_len} acknowledged  {rate}  {eta} left",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {human_pos} acknowledged  {rate}  Ctrl-C stops",
        ),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(
            style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A progress bar is no place to fail.
                let _ = write!(out, "{:.0} a second", state.per_sec());
            }),
        );
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

impl Report {
    /// What the user should know beyond the figures.
    pub(crate) fn remark(&self) -> Option<String> {
        let unmatched = self.delivery.unmatched;
        (unmatched > 0).then(|| {
            format!(
                "note: the broker had no subscriber for {} of them; is Pumphouse connected to it?",
                HumanCount(unmatched)
            )
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Delivery {
            messages,
            reconnects,
            ..
        } = self.delivery;
        let rate = messages as f64 / self.elapsed.as_secs_f64().max(1e-3);
        let stopped = if self.interrupted { "stopped: " } else { "" };
        write!(
            f,
            "{stopped}{} messages published and acknowledged in {} ({} a second)",
            HumanCount(messages),
            Seconds(self.elapsed),
            HumanCount(rate.round() as u64),
        )?;
        match reconnects {
            0 => Ok(()),
            1 => write!(f, ", after one reconnection"),
            n => write!(f, ", after {n} reconnections"),
        }
    }
}

/// Short times to a tenth of a second, long ones in words.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(120) {
            return write!(f, "{:.1} s", self.0.as_secs_f64());
        }
        HumanDuration(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_reads_as_a_sentence() {
        let delivery = Delivery {
            messages: 12_345,
            unmatched: 0,
            reconnects: 0,
        };
        let mut report = Report {
            delivery,
            elapsed: Duration::from_millis(2500),
            interrupted: false,
        };
        assert_eq!(
            report.to_string(),
            "12,345 messages published and acknowledged in 2.5 s (4,938 a second)"
        );
        assert_eq!(report.remark(), None);
        report.delivery.unmatched = 5;
        report.delivery.reconnects = 2;
        assert!(report.to_string().ends_with(", after 2 reconnections"));
        assert!(report.remark().unwrap().contains("no subscriber for 5"));
    }
}
