//! MQTT topic names, filters, and the templates that turn a topic's levels into columns.

use catalog::{Error, Result};

/// The first level of every topic of Sparkplug B.
pub(crate) const SPARKPLUG: &str = "spBv1.0";
/// Levels of a topic filter; the subscriptions are a tree that is walked recursively.
const MOST_LEVELS: usize = 128;

/// Checks a topic filter: `+` and `#` stand alone in a level, `#` only in the last one.
///
/// # Errors
/// `InvalidInput` naming the filter.
pub(crate) fn check_filter(filter: &str) -> Result<()> {
    let bad = |why: &str| Error::invalid(format!("topic filter '{filter}' {why}"));
    if filter.is_empty() || filter.len() > 65_535 || filter.contains('\0') {
        return Err(bad("is empty, too long, or holds a null character"));
    }
    if filter.split('/').count() > MOST_LEVELS {
        return Err(bad(&format!("has more than {MOST_LEVELS} levels")));
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(bad("has a '#' that is not the whole last level"));
        }
        if level.contains('+') && level != "+" {
            return Err(bad("has a '+' that is not a whole level"));
        }
    }
    Ok(())
}

/// Whether `topic` may be published to: not empty and free of wildcards.
pub(crate) fn is_topic_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether every topic that `b` matches is matched by `a` too.
pub(crate) fn covers(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(x), Some(y)) if x == y => {}
            _ => return false,
        }
    }
}

/// Whether some topic is matched by both filters.
pub(crate) fn overlaps(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

/// The fewest of `filters` that match the same topics.
pub(crate) fn reduce(filters: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for filter in filters {
        if kept.iter().any(|k| covers(k, &filter)) {
            continue;
        }
        kept.retain(|k| !covers(&filter, k));
        kept.push(filter);
    }
    kept
}

/// A topic with named levels, such as `pumps/{site}/{pump}/telemetry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    levels: Vec<Level>,
    /// Whether more levels may follow.
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(String),
    Variable(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// `InvalidInput` saying which level is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| {
            Error::invalid(format!("topic template '{text}' {why}"))
                .with_hint("write levels such as pumps/{site}/{pump}/telemetry")
        };
        if text.is_empty() {
            return Err(bad("is empty".into()));
        }
        let mut levels: Vec<Level> = Vec::new();
        for level in text.split('/') {
            let variable = level.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
            let level = match variable {
                Some(name) if !is_column_name(name) => {
                    return Err(bad(format!(
                        "has the variable '{name}', which is no column name"
                    )));
                }
                Some(name) => Level::Variable(name.to_owned()),
                None if level.contains(['+', '#', '{', '}', '\0']) => {
                    return Err(bad(format!("has the level '{level}'")));
                }
                None => Level::Literal(level.to_owned()),
            };
            if matches!(level, Level::Variable(_)) && levels.contains(&level) {
                return Err(bad("names a variable twice".into()));
            }
            levels.push(level);
        }
        Ok(Self {
            levels,
            open: false,
        })
    }

    /// Reads the topics of a Sparkplug B stream: `spBv1.0/#`, or those of one group.
    ///
    /// # Errors
    /// `InvalidInput` showing the two forms.
    pub(crate) fn sparkplug(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!("'{text}' are no topics of Sparkplug B"))
                .with_hint("write spBv1.0/# for all groups, or spBv1.0/GROUP/# for one")
        };
        let levels = text.strip_suffix("/#").ok_or_else(bad)?;
        let template = Self::parse(levels).map_err(|_| bad())?;
        let literal = |level: &Level| matches!(level, Level::Literal(text) if !text.is_empty());
        let namespace = Level::Literal(SPARKPLUG.into());
        let one_group = template.levels.len() <= 2 && template.levels.iter().all(literal);
        if !one_group || template.levels.first() != Some(&namespace) {
            return Err(bad());
        }
        Ok(Self {
            open: true,
            ..template
        })
    }

    /// The variables' names in order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Variable(name) => Some(name.as_str()),
            Level::Literal(_) => None,
        })
    }

    /// The variables' values in order when the topic matches.
    pub(crate) fn matches<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        let mut values = Vec::new();
        let mut levels = topic.split('/');
        for level in &self.levels {
            let found = levels.next()?;
            match level {
                Level::Literal(text) if text == found => {}
                Level::Literal(_) => return None,
                Level::Variable(_) => values.push(found),
            }
        }
        (self.open || levels.next().is_none()).then_some(values)
    }

    /// The filter that matches this template's topics.
    pub(crate) fn filter(&self) -> String {
        let levels = self.levels.iter().map(|level| match level {
            Level::Literal(text) => text.as_str(),
            Level::Variable(_) => "+",
        });
        let levels: Vec<&str> = levels.chain(self.open.then_some("#")).collect();
        levels.join("/")
    }
}

fn is_column_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_takes_levels_apart() {
        let template = Template::parse("pumps/{site}/{pump}/telemetry").unwrap();
        assert_eq!(
            template.matches("pumps/north/p-7/telemetry"),
            Some(vec!["north", "p-7"])
        );
        assert_eq!(template.matches("pumps/north/p-7"), None);
        assert_eq!(template.matches("pumps/north/p-7/telemetry/x"), None);
        assert_eq!(template.matches("pumps/north/p-7/status"), None);
        assert_eq!(template.filter(), "pumps/+/+/telemetry");
        assert_eq!(template.variables().collect::<Vec<_>>(), ["site", "pump"]);
    }

    #[test]
    fn bad_templates_are_named() {
        for text in [
            "",
            "a/+/b",
            "a/{}/b",
            "a/{x}/{x}",
            "a/{x",
            "a/{1x}",
            "a/x{y}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sparkplug_has_topics_of_its_own() {
        let all = Template::sparkplug("spBv1.0/#").unwrap();
        assert_eq!(all.filter(), "spBv1.0/#");
        assert!(all.matches("spBv1.0/g/NDATA/n").is_some());
        assert!(all.matches("other/g/NDATA/n").is_none());
        let one = Template::sparkplug("spBv1.0/g/#").unwrap();
        assert_eq!(one.filter(), "spBv1.0/g/#");
        assert!(one.matches("spBv1.0/g/DDATA/n/d").is_some());
        assert!(one.matches("spBv1.0/h/DDATA/n/d").is_none());
        for text in [
            "spBv1.0",
            "#",
            "a/#",
            "spBv1.0/+/#",
            "spBv1.0/{g}/#",
            "spBv1.0/a/b/#",
        ] {
            assert!(Template::sparkplug(text).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_are_checked() {
        for good in ["#", "+", "a/+/b", "a/#", "/", "+/+"] {
            check_filter(good).unwrap();
        }
        for bad in ["", "a#", "a/#/b", "a+", "+a/b"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
        assert!(check_filter(&"/".repeat(65_535)).is_err());
    }

    #[test]
    fn covering_and_overlapping() {
        assert!(covers("a/+/c", "a/b/c"));
        assert!(covers("a/#", "a/+/c"));
        assert!(covers("a/#", "a"));
        assert!(!covers("a/+/c", "a/#"));
        assert!(!covers("a/b", "a/+"));
        assert!(overlaps("a/+/c", "a/b/+"));
        assert!(!overlaps("a/+/c", "a/b/d"));
        let kept = reduce(vec![
            "a/b/c".into(),
            "a/+/c".into(),
            "x/y".into(),
            "x/y".into(),
        ]);
        assert_eq!(kept, ["a/+/c", "x/y"]);
    }
}
