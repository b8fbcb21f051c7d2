//! Who may publish and subscribe to what, in the syntax of Mosquitto's `acl_file`.
//!
//! Lines `topic [read|write|readwrite|deny] FILTER` hold for the user named by the last `user NAME`
//! line, and before the first one for clients without a name; `pattern ...` lines hold for all, with
//! `%u` and `%c` for the user's name and the client id. What no line allows is denied, and a line
//! that denies wins.

use std::collections::HashMap;

use catalog::{Error, Result};

use super::User;
use crate::topic;

/// The rules of one file.
#[derive(Debug, Default)]
pub(super) struct Acl {
    anonymous: Vec<Rule>,
    users: HashMap<String, Vec<Rule>>,
    patterns: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    access: Access,
    filter: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl Acl {
    /// Reads a file's text; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// `InvalidInput` naming the line.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut acl = Self::default();
        let mut user: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim_start();
            let wrong = || {
                Error::invalid(format!("line {}: '{line}' is no access rule", number + 1))
                    .with_hint(
                        "write `user NAME`, or `topic` or `pattern` with read, write, readwrite or \
                         deny and a topic filter",
                    )
            };
            match keyword {
                "user" if !rest.is_empty() => {
                    acl.users.entry(rest.to_owned()).or_default();
                    user = Some(rest.to_owned());
                }
                "topic" => {
                    let rule = Rule::parse(rest).ok_or_else(wrong)?;
                    match &user {
                        Some(user) => acl.users.entry(user.clone()).or_default().push(rule),
                        None => acl.anonymous.push(rule),
                    }
                }
                "pattern" => acl.patterns.push(Rule::parse(rest).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
        }
        Ok(acl)
    }

    /// What holds for one client, its names filled in.
    pub(super) fn of(&self, user: &User) -> Allowed {
        let own = match &user.name {
            Some(name) => self.users.get(name).map_or(&[][..], Vec::as_slice),
            None => &self.anonymous,
        };
        let own = own.iter().cloned();
        let patterns = self.patterns.iter().filter_map(|rule| {
            let filter = filled(&rule.filter, user)?;
            let access = rule.access;
            Some(Rule { access, filter })
        });
        Allowed(own.chain(patterns).collect())
    }
}

/// The rules that hold for one client.
#[derive(Debug)]
pub(super) struct Allowed(Vec<Rule>);

impl Allowed {
    /// Whether the client may publish to a topic.
    pub(super) fn publish(&self, topic: &str) -> bool {
        let mut granted = false;
        for Rule { access, filter } in &self.0 {
            if covers(filter, topic) {
                match access {
                    Access::Deny => return false,
                    Access::Write | Access::ReadWrite => granted = true,
                    Access::Read => {}
                }
            }
        }
        granted
    }

    /// Whether the client may have all that a filter brings. A filter that would bring what is
    /// denied too is refused as a whole, so that nothing need be asked at each delivery.
    pub(super) fn subscribe(&self, wanted: &str) -> bool {
        let mut granted = false;
        for Rule { access, filter } in &self.0 {
            match access {
                Access::Deny if topic::overlaps(filter, wanted) => return false,
                Access::Read | Access::ReadWrite => granted |= covers(filter, wanted),
                Access::Deny | Access::Write => {}
            }
        }
        granted
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim_start();
        let access = match first {
            "read" => Access::Read,
            "write" => Access::Write,
            "readwrite" => Access::ReadWrite,
            "deny" => Access::Deny,
            _ => {
                return Self::with(Access::ReadWrite, text);
            }
        };
        match rest {
            // A topic may have the name of an access.
            "" => Self::with(Access::ReadWrite, text),
            filter => Self::with(access, filter),
        }
    }

    fn with(access: Access, filter: &str) -> Option<Self> {
        topic::check_filter(filter).ok()?;
        let filter = filter.to_owned();
        Some(Self { access, filter })
    }
}

/// Whether all topics of `wanted` match `filter`. Topics of the broker itself match no wildcard in
/// the first level.
fn covers(filter: &str, wanted: &str) -> bool {
    let system = wanted.starts_with('$') && filter.starts_with(['+', '#']);
    !system && topic::covers(filter, wanted)
}

/// The pattern with the client's names; none when a name is missing or could match more than itself.
fn filled(pattern: &str, user: &User) -> Option<String> {
    let plain = |name: &str| !name.is_empty() && !name.contains(['/', '+', '#']);
    let mut levels = Vec::new();
    for level in pattern.split('/') {
        levels.push(match level {
            "%u" => user.name.as_deref().filter(|name| plain(name))?,
            "%c" => Some(user.client.as_str()).filter(|name| plain(name))?,
            level => level,
        });
    }
    Some(levels.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# who does not say who it is
topic read public/#
user alice
topic pumps/#
topic deny pumps/secret/#
topic write read
user bob
topic read  pumps/+/status
user root
topic #
pattern write devices/%u/%c
pattern readwrite $SYS/own/%c
";

    fn user(name: Option<&str>, client: &str) -> User {
        User {
            name: name.map(str::to_owned),
            client: client.to_owned(),
        }
    }

    #[test]
    fn rules_hold_for_their_user_and_patterns_for_all() {
        let acl = Acl::parse(FILE).unwrap();
        let nobody = user(None, "n");
        let alice = user(Some("alice"), "a");
        let bob = user(Some("bob"), "b");
        let root = user(Some("root"), "r");
        for (user, topic, write, read) in [
            (&nobody, "public/x", false, true),
            (&nobody, "pumps/x", false, false),
            (&nobody, "devices/n/n", false, false),
            (&alice, "pumps/x", true, true),
            (&alice, "pumps/secret/x", false, false),
            (&alice, "public/x", false, false),
            (&alice, "read", true, false),
            (&alice, "devices/alice/a", true, false),
            (&alice, "devices/bob/a", false, false),
            (&alice, "$SYS/own/a", true, true),
            (&bob, "pumps/p/status", false, true),
            (&bob, "pumps/p/other", false, false),
            (&root, "anything", true, true),
            (&root, "$SYS/x", false, false),
        ] {
            assert_eq!(acl.of(user).publish(topic), write, "{user:?} {topic}");
            assert_eq!(acl.of(user).subscribe(topic), read, "{user:?} {topic}");
        }
        assert!(acl.of(&alice).subscribe("pumps/a/+"));
        assert!(
            !acl.of(&alice).subscribe("pumps/+/status"),
            "it brings secret ones"
        );
        assert!(!acl.of(&alice).subscribe("#"));
        assert!(!acl.of(&alice).subscribe("pumps/secret/#"));
        assert!(acl.of(&bob).subscribe("pumps/+/status"));
        assert!(!acl.of(&bob).subscribe("pumps/#"));
    }

    #[test]
    fn a_name_with_a_wildcard_gets_no_more_than_others() {
        let acl = Acl::parse("pattern readwrite own/%u/#\n").unwrap();
        for name in ["+", "#", "a/b", ""] {
            assert!(
                !acl.of(&user(Some(name), "c")).publish("own/other/x"),
                "{name}"
            );
            assert!(
                !acl.of(&user(Some(name), "c")).publish("own/a/b/x"),
                "{name}"
            );
        }
        assert!(acl.of(&user(Some("a"), "c")).publish("own/a/b"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in ["user", "topic", "topic read a#", "topics a", "pattern"] {
            let error = Acl::parse(&format!("\n{line}\n")).err().unwrap();
            assert!(error.message().starts_with("line 2"), "{error}");
        }
    }
}
