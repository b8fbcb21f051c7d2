//! The last message of each topic that asked for it, for whoever subscribes later.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::publication::Publication;

/// A full store is looked through for expired messages no more often than this.
const SWEEP: Duration = Duration::from_secs(1);

/// Retained messages by topic, bounded in number and bytes.
#[derive(Debug)]
pub(super) struct Retained {
    by_topic: BTreeMap<String, Arc<Publication>>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    swept: Option<Instant>,
}

/// What became of a message with the retain flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Stored,
    Removed,
    /// It had no payload, and nothing was there.
    Nothing,
    /// No room for another topic.
    Full,
}

impl Retained {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            by_topic: BTreeMap::new(),
            bytes: 0,
            most,
            most_bytes,
            swept: None,
        }
    }

    /// Notes a message with the retain flag: it replaces the one of its topic, and one without
    /// payload only removes it.
    pub(super) fn put(&mut self, publication: &Arc<Publication>) -> Kept {
        let topic = publication.topic();
        let removed = self.remove(topic);
        if publication.publish.payload.is_empty() {
            return if removed {
                Kept::Removed
            } else {
                Kept::Nothing
            };
        }
        let size = publication.size();
        if self.by_topic.len() >= self.most || self.bytes + size > self.most_bytes {
            return Kept::Full;
        }
        self.bytes += size;
        self.by_topic
            .insert(topic.to_owned(), Arc::clone(publication));
        Kept::Stored
    }

    /// Removes the message of a topic; false when there was none.
    pub(super) fn remove(&mut self, topic: &str) -> bool {
        let removed = self.by_topic.remove(topic);
        self.bytes -= removed.as_ref().map_or(0, |p| p.size());
        removed.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// At most so many messages whose topic matches the filter and which have not expired, by topic.
    pub(super) fn matching(&self, filter: &str, most: usize) -> Vec<Arc<Publication>> {
        let literal = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        // `a/#` matches `a` too.
        let start = literal.strip_suffix('/').unwrap_or(literal);
        self.by_topic
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(start))
            .filter(|(topic, publication)| matches(filter, topic) && !publication.is_expired())
            .map(|(_, publication)| Arc::clone(publication))
            .take(most)
            .collect()
    }

    /// Removes what has expired, unless that was done just now; returns the topics.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<String> {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return Vec::new();
        }
        self.swept = Some(now);
        let expired = self.by_topic.iter().filter(|(_, p)| p.is_expired());
        let topics: Vec<String> = expired.map(|(topic, _)| topic.clone()).collect();
        for topic in &topics {
            self.remove(topic);
        }
        topics
    }
}

/// Whether the filter matches the topic name.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rmqtt_codec::types::{Publish, QoS};

    use super::*;

    fn publication(topic: &str, payload: &'static str) -> Arc<Publication> {
        Arc::new(Publication::new(&Publish {
            dup: false,
            retain: true,
            qos: QoS::AtMostOnce,
            topic: topic.into(),
            packet_id: None,
            payload: Bytes::from_static(payload.as_bytes()),
            properties: None,
        }))
    }

    #[test]
    fn filters_find_what_they_match() {
        let mut retained = Retained::new(10, 1 << 20);
        for topic in ["a", "a/b", "a/b/c", "ab", "$SYS/x", "/"] {
            assert_eq!(retained.put(&publication(topic, "x")), Kept::Stored);
        }
        let count = |filter| retained.matching(filter, 9).len();
        assert_eq!(retained.matching("#", 2).len(), 2);
        assert_eq!(count("a/#"), 3);
        assert_eq!(count("a"), 1);
        assert_eq!(count("+"), 2);
        assert_eq!(count("#"), 5);
        assert_eq!(count("+/b"), 1);
        assert_eq!(count("$SYS/#"), 1);
        assert_eq!(count("a/+/c"), 1);
        assert_eq!(count("+/+"), 2);
    }

    #[test]
    fn the_bounds_hold_and_an_empty_payload_makes_room() {
        let mut retained = Retained::new(1, 1 << 20);
        assert_eq!(retained.put(&publication("a", "1")), Kept::Stored);
        assert_eq!(retained.put(&publication("b", "1")), Kept::Full);
        assert_eq!(retained.put(&publication("a", "2")), Kept::Stored);
        assert_eq!(retained.put(&publication("a", "")), Kept::Removed);
        assert_eq!(retained.put(&publication("a", "")), Kept::Nothing);
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }

    #[test]
    fn a_full_store_is_not_swept_for_every_message() {
        let mut retained = Retained::new(1, 1 << 20);
        let expired = |topic: &str| {
            let mut publication = Publication::new(&publication(topic, "x").publish);
            publication.expires = 1;
            Arc::new(publication)
        };
        let now = Instant::now();
        retained.put(&expired("a"));
        assert_eq!(retained.sweep(now), ["a"]);
        retained.put(&expired("b"));
        assert!(retained.sweep(now + SWEEP / 2).is_empty());
        assert_eq!(retained.sweep(now + SWEEP), ["b"]);
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }
}
