//! What branches and tags have in common on the command line.

use catalog::{Catalog, Commit, Error, ErrorKind, MAIN, RefInfo, RefKind, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{short, title};
use crate::output;
use crate::style;

/// Flags of every command that changes a ref.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was done to a ref, or would be.
pub(crate) struct Done<'a> {
    kind: RefKind,
    name: &'a str,
    /// In the infinitive, and regular: `create`.
    verb: &'a str,
    commit: &'a Commit,
}

impl<'a> Done<'a> {
    pub(crate) fn new(kind: RefKind, name: &'a str, verb: &'a str, commit: &'a Commit) -> Self {
        Self {
            kind,
            name,
            verb,
            commit,
        }
    }
}

impl How {
    /// Prints what was done; `rest` follows the verb.
    pub(crate) fn say(&self, done: &Done<'_>, rest: &str) -> Result<()> {
        let Done {
            kind,
            name,
            verb,
            commit,
        } = done;
        if self.json {
            return output::print_json(&json!({
                word(*kind): name,
                "action": verb,
                "commit": commit.id.to_string(),
                "dry_run": self.dry_run,
            }));
        }
        output::print(&match (self.dry_run, verb.strip_suffix('e')) {
            (true, _) => format!("would {verb} {rest}"),
            (false, Some(stem)) => format!("{stem}ed {rest}"),
            (false, None) => format!("{verb}ed {rest}"),
        })
    }
}

/// `branch` or `tag`.
pub(crate) fn word(kind: RefKind) -> &'static str {
    match kind {
        RefKind::Branch => "branch",
        RefKind::Tag => "tag",
    }
}

/// Prints `refs` as `git branch -v` does.
pub(crate) fn list(kind: RefKind, refs: &[RefInfo], json: bool) -> Result<()> {
    if json {
        return output::print_json(&refs.iter().map(to_json).collect());
    }
    if refs.is_empty() {
        output::complain(&format!("there are no {}s yet", word(kind)));
        return Ok(());
    }
    let width = refs.iter().map(|it| it.name.chars().count()).max();
    let width = width.unwrap_or_default();
    let lines = refs.iter().map(|it| {
        let (mark, name) = (if it.name == MAIN { '*' } else { ' ' }, &it.name);
        let padded = format!("{name:<width$}");
        let padded = if it.name == MAIN {
            style::green(&padded)
        } else {
            padded
        };
        let commit = style::commit(&short(&it.commit));
        let protected = if it.protected { "[protected] " } else { "" };
        format!(
            "{mark} {padded}  {commit}  {protected}{}",
            title(&it.commit)
        )
    });
    output::print(&lines.collect::<Vec<_>>().join("\n"))
}

fn to_json(it: &RefInfo) -> Value {
    json!({
        "name": it.name,
        "commit": it.commit.id.to_string(),
        "time": it.commit.time,
        "author": it.commit.author,
        "message": it.commit.message,
        "protected": it.protected,
        "updated": it.updated,
    })
}

/// Creates a ref called `names.0` at `names.1`.
pub(crate) async fn create(
    catalog: &Catalog,
    kind: RefKind,
    names: (&str, &str),
    how: &How,
    author: &str,
) -> Result<()> {
    let (name, at) = names;
    let commit = match (how.dry_run, kind) {
        (true, _) => {
            free(catalog, kind, name).await?;
            catalog.resolve_commit(at).await?
        }
        (false, RefKind::Branch) => catalog.create_branch(name, at, author).await?,
        (false, RefKind::Tag) => catalog.create_tag(name, at, author).await?,
    };
    let from = match kind {
        RefKind::Branch => format!("{name} at {} from {at}", short(&commit)),
        RefKind::Tag => format!("{name} at {}", short(&commit)),
    };
    how.say(&Done::new(kind, name, "create", &commit), &from)
}

/// Deletes a ref.
pub(crate) async fn delete(
    catalog: &Catalog,
    kind: RefKind,
    name: &str,
    how: &How,
    author: &str,
) -> Result<()> {
    // Read before, as the answer says where it was.
    let found = movable(catalog, kind, name).await?;
    match (how.dry_run, kind) {
        (true, _) => {}
        (false, RefKind::Branch) => catalog.delete_branch(name, author).await?,
        (false, RefKind::Tag) => catalog.delete_tag(name, author).await?,
    }
    let rest = format!("{name} (was {})", short(&found.commit));
    how.say(&Done::new(kind, name, "delete", &found.commit), &rest)
}

/// The ref, when it may be deleted or renamed.
pub(crate) async fn movable(catalog: &Catalog, kind: RefKind, name: &str) -> Result<RefInfo> {
    if name == MAIN {
        let error = Error::invalid(format!("branch {MAIN:?} cannot be deleted or renamed"));
        return Err(error.with_hint("every lakehouse has it"));
    }
    let found = catalog.reference(name).await?;
    if found.kind != kind {
        let (is, not) = (word(found.kind), word(kind));
        let error = Error::invalid(format!("{name:?} is a {is}, not a {not}"));
        return Err(error.with_hint(format!("see `pumphouse {is} --help`")));
    }
    if found.protected {
        let error = Error::permission_denied(format!("branch {name:?} is protected"));
        return Err(error.with_hint(format!("`pumphouse branch unprotect {name}` first")));
    }
    Ok(found)
}

/// `AlreadyExists` when there is a ref of that name, `InvalidInput` when none may be.
pub(crate) async fn free(catalog: &Catalog, kind: RefKind, name: &str) -> Result<()> {
    match catalog.reference(name).await {
        Ok(found) => {
            let is = word(found.kind);
            Err(Error::already_exists(format!("{is} {name:?} exists"))
                .with_hint(format!("choose another name for the {}", word(kind))))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
