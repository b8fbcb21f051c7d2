//! Which dead letters are meant.

use std::str::FromStr;

use super::letters::Letter;

/// Which dead letters are meant: those that all of it holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The stream whose topic they have.
    pub stream: Option<String>,
    /// Received at this time or later, in microseconds since the epoch.
    pub since: Option<i64>,
    /// A part of the reason, in upper or lower case.
    pub reason: Option<String>,
}

impl Filter {
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let stream = self.stream.as_ref();
        let reason = self.reason.as_ref().map(|reason| reason.to_lowercase());
        stream.is_none_or(|stream| letter.stream.as_ref() == Some(stream))
            && self.since.is_none_or(|since| letter.received >= since)
            && reason.is_none_or(|part| letter.reason.to_lowercase().contains(&part))
    }
}

/// Another beginning for topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEdit {
    from: String,
    to: String,
}

impl TopicEdit {
    /// The topic, with its beginning exchanged where it is the one that is meant.
    pub(super) fn apply(&self, topic: &str) -> String {
        match topic.strip_prefix(&self.from) {
            Some(rest) => format!("{}{rest}", self.to),
            None => topic.to_owned(),
        }
    }
}

impl FromStr for TopicEdit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.contains(['+', '#', '\0']) => Ok(Self {
                from: from.to_owned(),
                to: to.to_owned(),
            }),
            _ => Err("write it as pump/north/=pumps/north/, without wildcards".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_all_of_its_parts() {
        let letter = Letter {
            received: 10,
            topic: "a/b".into(),
            payload: "x".into(),
            reason: "Field 'temp': text".into(),
            stream: Some("s".into()),
        };
        let filter = Filter {
            stream: Some("s".into()),
            since: Some(10),
            reason: Some("FIELD 'TEMP'".into()),
        };
        assert!(filter.takes(&letter) && Filter::default().takes(&letter));
        let others = [
            Filter {
                stream: Some("t".into()),
                ..filter.clone()
            },
            Filter {
                since: Some(11),
                ..filter.clone()
            },
            Filter {
                reason: Some("time".into()),
                ..filter
            },
        ];
        assert!(others.iter().all(|other| !other.takes(&letter)));
    }

    #[test]
    fn an_edit_exchanges_the_beginning() {
        let edit: TopicEdit = "pump/=pumps/".parse().unwrap();
        assert_eq!(edit.apply("pump/a"), "pumps/a");
        assert_eq!(edit.apply("pumps/a"), "pumps/a");
        for wrong in ["", "a", "=b", "a=b/+", "a=#"] {
            assert!(wrong.parse::<TopicEdit>().is_err(), "{wrong}");
        }
    }
}
