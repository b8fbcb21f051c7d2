//! Who gets which topic: a trie of subscriptions with `+` and `#`.

use std::collections::HashMap;

use tokio::sync::mpsc::Sender;

use rmqtt_codec::types::{Publish, QoS};

/// A message on its way to one subscriber.
#[derive(Debug)]
pub(super) struct Delivery {
    /// With the quality of service granted, and no packet id yet.
    pub(super) publish: Box<Publish>,
}

/// One client's interest in a filter.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    /// The connection it belongs to.
    pub(super) connection: u64,
    pub(super) qos: QoS,
    /// Not what this connection itself publishes.
    pub(super) no_local: bool,
    /// Keep the retain flag as published.
    pub(super) retain_as_published: bool,
    pub(super) deliveries: Sender<Delivery>,
}

/// All subscriptions by filter.
#[derive(Debug, Default)]
pub(super) struct Router {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<String, Node>,
    /// Filters that end here.
    here: Vec<Subscription>,
    /// Filters that end here with `#`.
    below: Vec<Subscription>,
}

impl Router {
    /// Adds or replaces the connection's subscription to a checked filter; true when it is new.
    pub(super) fn subscribe(&mut self, filter: &str, subscription: Subscription) -> bool {
        let (levels, below) = split(filter);
        let mut node = &mut self.root;
        for level in levels {
            node = node.children.entry(level.to_owned()).or_default();
        }
        let list = node.list(below);
        match list
            .iter_mut()
            .find(|s| s.connection == subscription.connection)
        {
            Some(old) => {
                *old = subscription;
                false
            }
            None => {
                list.push(subscription);
                true
            }
        }
    }

    /// Removes the connection's subscription; false when there was none.
    pub(super) fn unsubscribe(&mut self, filter: &str, connection: u64) -> bool {
        let (levels, below) = split(filter);
        self.root.remove(&levels, below, connection)
    }

    /// Hands the message to every subscriber of its topic, once each. A subscriber whose queue is
    /// full misses it.
    pub(super) fn route(&self, publish: &Publish, publisher: u64) {
        let levels: Vec<&str> = publish.topic.split('/').collect();
        let mut found: Vec<&Subscription> = Vec::new();
        // Topics of the broker itself are not matched by a wildcard in the first level.
        let system = publish.topic.starts_with('$');
        self.root.collect(&levels, system, &mut found);
        found.retain(|s| !(s.no_local && s.connection == publisher));
        found.sort_by_key(|s| (s.connection, std::cmp::Reverse(s.qos)));
        found.dedup_by_key(|s| s.connection);
        for subscription in found {
            let mut copy = publish.clone();
            copy.dup = false;
            copy.retain &= subscription.retain_as_published;
            copy.qos = publish.qos.less_value(subscription.qos);
            copy.packet_id = None;
            let delivery = Delivery {
                publish: Box::new(copy),
            };
            if subscription.deliveries.try_send(delivery).is_err() {
                tracing::debug!(
                    connection = subscription.connection,
                    "a slow subscriber misses a message"
                );
            }
        }
    }
}

impl Node {
    fn list(&mut self, below: bool) -> &mut Vec<Subscription> {
        if below {
            &mut self.below
        } else {
            &mut self.here
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }

    fn remove(&mut self, levels: &[&str], below: bool, connection: u64) -> bool {
        let Some((first, rest)) = levels.split_first() else {
            let list = self.list(below);
            let before = list.len();
            list.retain(|s| s.connection != connection);
            return list.len() < before;
        };
        let Some(child) = self.children.get_mut(*first) else {
            return false;
        };
        let removed = child.remove(rest, below, connection);
        if child.is_empty() {
            self.children.remove(*first);
        }
        removed
    }

    fn collect<'n>(&'n self, levels: &[&str], system: bool, found: &mut Vec<&'n Subscription>) {
        if !system {
            found.extend(&self.below);
        }
        let Some((first, rest)) = levels.split_first() else {
            found.extend(&self.here);
            return;
        };
        if let Some(child) = self.children.get(*first) {
            child.collect(rest, false, found);
        }
        if !system && let Some(child) = self.children.get("+") {
            child.collect(rest, false, found);
        }
    }
}

/// The filter's levels without a last `#`, and whether there was one.
fn split(filter: &str) -> (Vec<&str>, bool) {
    let mut levels: Vec<&str> = filter.split('/').collect();
    let below = levels.last() == Some(&"#");
    if below {
        levels.pop();
    }
    (levels, below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tokio::sync::mpsc;

    fn publish(topic: &str) -> Publish {
        Publish {
            dup: false,
            retain: false,
            qos: QoS::AtLeastOnce,
            topic: topic.into(),
            packet_id: None,
            payload: Bytes::new(),
            properties: None,
        }
    }

    fn subscription(connection: u64, deliveries: &Sender<Delivery>) -> Subscription {
        Subscription {
            connection,
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            deliveries: deliveries.clone(),
        }
    }

    fn matches(filter: &str, topic: &str) -> bool {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut router = Router::default();
        router.subscribe(filter, subscription(1, &sender));
        router.route(&publish(topic), 2);
        receiver.try_recv().is_ok()
    }

    #[test]
    fn wildcards_match_as_the_specification_says() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("+/b", "a/b"),
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/+", "/b"),
            ("$SYS/#", "$SYS/x"),
            ("$SYS/+", "$SYS/x"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("a/b", "a/c"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/b"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a/#", "ab"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn one_delivery_per_client_and_none_after_unsubscribing() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut router = Router::default();
        assert!(router.subscribe("a/#", subscription(1, &sender)));
        assert!(router.subscribe("a/b", subscription(1, &sender)));
        assert!(!router.subscribe("a/b", subscription(1, &sender)));
        router.route(&publish("a/b"), 1);
        assert!(receiver.try_recv().is_ok());
        assert!(receiver.try_recv().is_err());
        assert!(router.unsubscribe("a/#", 1));
        assert!(router.unsubscribe("a/b", 1));
        assert!(!router.unsubscribe("a/b", 1));
        assert!(router.root.is_empty());
    }

    #[test]
    fn no_local_keeps_a_clients_own_messages_away() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut router = Router::default();
        let own = Subscription {
            no_local: true,
            ..subscription(1, &sender)
        };
        router.subscribe("a", own);
        router.route(&publish("a"), 1);
        assert!(receiver.try_recv().is_err());
        router.route(&publish("a"), 2);
        assert!(receiver.try_recv().is_ok());
    }
}
