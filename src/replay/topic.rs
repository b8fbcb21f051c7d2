//! Topics with `{column}` placeholders.

use catalog::{Error, Result};

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    /// Name of a column, without its braces.
    Column(String),
}

/// A topic to be filled from each row.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

impl Template {
    /// Reads `rigs/{rig}/telemetry`.
    ///
    /// Errors: `InvalidInput` for a wildcard, an empty topic, or braces without a pair.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::invalid(format!("--topic {text:?}: {what}"))
                .with_hint("write it as pumps/{site}/{pump}/telemetry, with columns of the file")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            parts.push(Part::Literal(rest[..open].to_owned()));
            let (name, after) = rest[open + 1..]
                .split_once('}')
                .ok_or_else(|| wrong("a { is not closed"))?;
            if name.is_empty() || name.contains('{') {
                return Err(wrong("a placeholder needs a column's name"));
            }
            parts.push(Part::Column(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| *part != Part::Literal(String::new()));
        for part in &parts {
            let Part::Literal(literal) = part else {
                continue;
            };
            if literal.contains('}') {
                return Err(wrong("a } has no {"));
            }
            if literal.contains(['+', '#']) {
                return Err(wrong("nobody can publish to a wildcard"));
            }
            if literal.contains('\0') {
                return Err(wrong("a topic has no NUL characters"));
            }
        }
        match parts.first() {
            None => Err(wrong("the topic is empty")),
            Some(Part::Literal(first)) if first.starts_with('$') => {
                Err(wrong("topics that begin with $ belong to the broker"))
            }
            Some(_) => Ok(Self { parts }),
        }
    }
}

/// What makes `value` unfit to be a part of a topic, if anything.
pub(crate) fn unfit(value: &str) -> Option<&'static str> {
    match value {
        "" => Some("is empty"),
        _ if value.contains(['+', '#']) => Some("holds a wildcard"),
        _ if value.contains('/') => Some("holds a /"),
        _ if value.contains('\0') => Some("holds a NUL character"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_literals_and_columns() {
        let parts = Template::parse("a/{b}-{c}/d").unwrap().parts;
        let literal = |text: &str| Part::Literal(text.to_owned());
        let column = |text: &str| Part::Column(text.to_owned());
        assert_eq!(
            parts,
            [
                literal("a/"),
                column("b"),
                literal("-"),
                column("c"),
                literal("/d")
            ]
        );
        assert_eq!(
            Template::parse("rigs/valve1-3/telemetry")
                .unwrap()
                .parts
                .len(),
            1
        );
    }

    #[test]
    fn what_cannot_be_published_to_is_refused() {
        for text in [
            "", "a/+/b", "a/#", "a/{b", "a/b}", "a/{}", "a/{{b}}", "$SYS/x",
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(
                error.is_user_error() && error.hint().is_some(),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn values_that_would_change_the_topics_shape_are_unfit() {
        assert_eq!(unfit("p 1-ä"), None);
        for value in ["", "a/b", "+", "a#", "\0"] {
            assert!(unfit(value).is_some(), "{value:?}");
        }
    }
}
