//! What merge, cherry-pick and revert have in common: their flags and their report.

use std::collections::BTreeMap;

use catalog::{
    ChangeKind, Error, Key, KeyChange, MergeOptions, MergeOutcome, MergeReport, Result, Side,
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::output;
use crate::settings::Settings;
use crate::style;

/// Flags of every command that merges.
#[derive(Debug, Args)]
pub(crate) struct MergingArgs {
    /// Settle conflicts: keep the branch's own state, or take what is brought in
    #[arg(long, value_name = "SIDE")]
    on_conflict: Option<SideArg>,
    /// Settle only this table, view or model so; may be given several times
    #[arg(long = "key", value_name = "NAMESPACE.NAME", requires = "on_conflict")]
    keys: Vec<String>,
    /// Message of the commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SideArg {
    /// The state of the branch that receives
    Ours,
    /// The state that is brought in
    Theirs,
}

impl MergingArgs {
    /// The catalog's options for this.
    pub(crate) fn options(&self, settings: &Settings) -> Result<MergeOptions> {
        let side = self.on_conflict.map(|side| match side {
            SideArg::Ours => Side::Ours,
            SideArg::Theirs => Side::Theirs,
        });
        let mut resolutions = BTreeMap::new();
        for key in &self.keys {
            if let Some(side) = side {
                resolutions.insert(parse_key(key)?, side);
            }
        }
        Ok(MergeOptions {
            author: settings.author(),
            message: self.message.clone(),
            dry_run: self.dry_run,
            resolve_rest: side.filter(|_| resolutions.is_empty()),
            resolutions,
            ..MergeOptions::default()
        })
    }

    /// Prints what was done, or would be. `words` are for people: what it is in the
    /// infinitive and the past, and the names of both sides.
    ///
    /// # Errors
    /// `Conflict` when the report has conflicts, after they were listed.
    pub(crate) fn report(&self, words: &Words<'_>, report: &MergeReport) -> Result<()> {
        if self.json {
            output::print_json(&to_json(report, self.dry_run))?;
        } else {
            output::print(&self.text(words, report))?;
        }
        match report.outcome {
            MergeOutcome::Conflicts => Err(unresolved(words, report)),
            _ => Ok(()),
        }
    }

    fn text(&self, words: &Words<'_>, report: &MergeReport) -> String {
        let Words { ours, theirs, .. } = words;
        let mut lines = Vec::new();
        match report.outcome {
            MergeOutcome::AlreadyUpToDate => lines.push(words.nothing.clone()),
            MergeOutcome::Conflicts => {
                for conflict in &report.conflicts {
                    let what = style::red("CONFLICT (both changed)");
                    let width = ours.chars().count().max(theirs.chars().count()) + 1;
                    let side = |name: &str, did: &str| {
                        format!("  {name:<width$} {did}", name = format!("{name}:"))
                    };
                    lines.push(format!("{what}: {}", conflict.key));
                    lines.push(side(ours, &conflict.ours));
                    lines.push(side(theirs, &conflict.theirs));
                }
            }
            MergeOutcome::FastForward | MergeOutcome::Merged => {
                lines.push(self.headline(words, report));
                lines.extend(report.changes.iter().map(change_line));
            }
        }
        lines.join("\n")
    }

    fn headline(&self, words: &Words<'_>, report: &MergeReport) -> String {
        let fast = report.outcome == MergeOutcome::FastForward;
        let done = match (self.dry_run, fast) {
            (true, true) => format!("would fast-forward {} to {}", words.ours, words.theirs),
            (true, false) => format!("would {}", words.infinitive),
            (false, true) => format!("fast-forwarded {} to {}", words.ours, words.theirs),
            (false, false) => words.past.clone(),
        };
        match report.commit {
            Some(id) => format!("{done} at {}", style::commit(&id.short())),
            None => done,
        }
    }
}

/// How a merge is spoken of.
pub(crate) struct Words<'a> {
    /// Such as `merge dev into main`.
    pub(crate) infinitive: String,
    /// Such as `merged dev into main`.
    pub(crate) past: String,
    /// What to say when there is nothing to do.
    pub(crate) nothing: String,
    /// The branch that receives.
    pub(crate) ours: &'a str,
    /// What is brought in.
    pub(crate) theirs: &'a str,
}

fn change_line(change: &KeyChange) -> String {
    let kind = match change.kind {
        ChangeKind::Created => style::green("created"),
        ChangeKind::Changed => "changed".to_owned(),
        ChangeKind::Deleted => style::red("deleted"),
    };
    match &change.how {
        Some(how) => format!("  {kind} {}: {how}", change.key),
        None => format!("  {kind} {}", change.key),
    }
}

fn unresolved(words: &Words<'_>, report: &MergeReport) -> Error {
    let keys: Vec<_> = report
        .conflicts
        .iter()
        .map(|conflict| conflict.key.to_string())
        .collect();
    let (count, s) = (keys.len(), if keys.len() == 1 { "" } else { "s" });
    let flags: Vec<_> = keys
        .iter()
        .take(3)
        .map(|key| format!("--key {key}"))
        .collect();
    Error::conflict(format!(
        "cannot {}: {count} key{s} changed on both sides; nothing was done",
        words.infinitive
    ))
    .with_hint(format!(
        "resolve with --on-conflict ours|theirs {}",
        flags.join(" ")
    ))
}

fn to_json(report: &MergeReport, dry_run: bool) -> Value {
    let outcome = match report.outcome {
        MergeOutcome::AlreadyUpToDate => "already-up-to-date",
        MergeOutcome::FastForward => "fast-forward",
        MergeOutcome::Merged => "merged",
        MergeOutcome::Conflicts => "conflicts",
    };
    let changes = report.changes.iter().map(|change| {
        let kind = match change.kind {
            ChangeKind::Created => "created",
            ChangeKind::Changed => "changed",
            ChangeKind::Deleted => "deleted",
        };
        json!({"key": change.key, "kind": kind, "how": change.how})
    });
    let conflicts = report.conflicts.iter().map(
        |conflict| json!({"key": conflict.key, "ours": conflict.ours, "theirs": conflict.theirs}),
    );
    json!({
        "outcome": outcome,
        "dry_run": dry_run,
        "base": report.base.to_string(),
        "source": report.source.to_string(),
        "target": report.target.to_string(),
        "commit": report.commit.map(|id| id.to_string()),
        "changes": changes.collect::<Value>(),
        "conflicts": conflicts.collect::<Value>(),
    })
}

/// A key as people type it: `namespace.name`, or a namespace alone.
fn parse_key(text: &str) -> Result<Key> {
    match text.contains('.') {
        true => text.parse(),
        false => Key::of_namespace(text),
    }
}
