//! Who gets which topic: a tree of subscriptions with `+` and `#`.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use rmqtt_codec::types::QoS;

use super::session::Session;
use super::shared::Group;

/// What a subscriber asked for with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: QoS,
    /// Not what this client itself publishes.
    pub(super) no_local: bool,
    /// Keep the retain flag as published.
    pub(super) retain_as_published: bool,
    pub(super) id: Option<NonZeroU32>,
}

/// A shared subscription: `$share/group/filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) group: String,
    pub(super) filter: String,
}

/// One session's interest in a filter.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) session: Arc<Session>,
    pub(super) options: Options,
}

/// A session that gets a message, and how.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) session: Arc<Session>,
    pub(super) qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) ids: Vec<NonZeroU32>,
    pub(super) share: Option<Arc<Share>>,
}

/// All subscriptions by filter.
#[derive(Debug, Default)]
pub(super) struct Router {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    /// Filters that end here.
    here: Leaf,
    /// Filters that end here with `#`.
    below: Leaf,
}

/// The subscriptions of one filter, by session, and its shared groups.
#[derive(Debug, Default)]
struct Leaf {
    plain: BTreeMap<u64, Subscription>,
    groups: Vec<Group>,
}

impl Router {
    /// Adds or replaces the session's subscription to a checked filter.
    pub(super) fn subscribe(&mut self, filter: &str, subscription: Subscription) {
        let number = subscription.session.number;
        self.leaf(filter).plain.insert(number, subscription);
    }

    /// Adds the session to a group, or replaces its place there.
    pub(super) fn join(&mut self, share: &Arc<Share>, subscription: Subscription) {
        let groups = &mut self.leaf(&share.filter).groups;
        match groups.iter_mut().find(|g| g.share.group == share.group) {
            Some(group) => group.join(subscription),
            None => groups.push(Group::new(Arc::clone(share), subscription)),
        }
    }

    /// Removes the session's subscription.
    pub(super) fn unsubscribe(&mut self, filter: &str, session: u64) {
        let (levels, below) = split(filter);
        self.root.remove(&levels, below, &mut |leaf| {
            leaf.plain.remove(&session);
        });
    }

    /// Removes the session from a group.
    pub(super) fn leave(&mut self, share: &Share, session: u64) {
        let (levels, below) = split(&share.filter);
        self.root.remove(&levels, below, &mut |leaf| {
            for group in &mut leaf.groups {
                if group.share.group == share.group {
                    group.leave(session);
                }
            }
            leaf.groups.retain(|group| !group.is_empty());
        });
    }

    /// Whether another member of the group than this session is connected.
    pub(super) fn has_other_member(&self, share: &Share, session: u64) -> bool {
        let group = self.group(share);
        group.is_some_and(|group| group.has_connected(session))
    }

    /// The members of a group other than this session, in turn: the connected ones, and then those
    /// whose session keeps messages.
    pub(super) fn members(&self, share: &Share, except: u64) -> Vec<Target> {
        let group = self.group(share);
        group.map_or_else(Vec::new, |group| group.others(except))
    }

    fn group(&self, share: &Share) -> Option<&Group> {
        let (levels, below) = split(&share.filter);
        let mut node = &self.root;
        for level in levels {
            node = node.children.get(level)?;
        }
        let leaf = if below { &node.below } else { &node.here };
        leaf.groups.iter().find(|g| g.share.group == share.group)
    }

    /// Everyone who gets a message of this topic from `publisher`, each session once, and one
    /// member of each group besides.
    pub(super) fn find(&self, topic: &str, publisher: u64) -> Vec<Target> {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut leaves = Vec::new();
        // Topics of the broker itself are not matched by a wildcard in the first level.
        self.root
            .collect(&levels, topic.starts_with('$'), &mut leaves);
        let mut targets: Vec<Target> = Vec::new();
        for leaf in &leaves {
            let plain = leaf.plain.values();
            let wanted = plain.filter(|s| !(s.options.no_local && s.session.number == publisher));
            targets.extend(wanted.map(|s| Target::new(s, None)));
        }
        if leaves.len() > 1 {
            merge(&mut targets);
        }
        let groups = leaves.iter().flat_map(|leaf| &leaf.groups);
        targets.extend(groups.filter_map(Group::pick));
        targets
    }

    fn leaf(&mut self, filter: &str) -> &mut Leaf {
        let (levels, below) = split(filter);
        let mut node = &mut self.root;
        for level in levels {
            node = node.children.entry(level.into()).or_default();
        }
        node.leaf(below)
    }
}

impl Target {
    pub(super) fn new(subscription: &Subscription, share: Option<Arc<Share>>) -> Self {
        let options = &subscription.options;
        Self {
            session: Arc::clone(&subscription.session),
            qos: options.qos,
            retain_as_published: options.retain_as_published,
            ids: options.id.into_iter().collect(),
            share,
        }
    }
}

/// Makes one of the targets of the same session: the highest quality of service, and every
/// subscription identifier [MQTT-3.3.4-2, MQTT-3.3.4-4].
fn merge(targets: &mut Vec<Target>) {
    targets.sort_by_key(|target| target.session.number);
    targets.dedup_by(|later, first| {
        let same = later.session.number == first.session.number;
        if same {
            first.qos = first.qos.max(later.qos);
            first.retain_as_published |= later.retain_as_published;
            first.ids.append(&mut later.ids);
        }
        same
    });
}

impl Node {
    fn leaf(&mut self, below: bool) -> &mut Leaf {
        if below {
            &mut self.below
        } else {
            &mut self.here
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }

    /// Changes the leaf of a filter, if it is there, and drops what is empty then.
    fn remove(&mut self, levels: &[&str], below: bool, change: &mut dyn FnMut(&mut Leaf)) {
        let Some((first, rest)) = levels.split_first() else {
            change(self.leaf(below));
            return;
        };
        let Some(child) = self.children.get_mut(*first) else {
            return;
        };
        child.remove(rest, below, change);
        if child.is_empty() {
            self.children.remove(*first);
        }
    }

    fn collect<'n>(&'n self, levels: &[&str], system: bool, found: &mut Vec<&'n Leaf>) {
        if !system && !self.below.is_empty() {
            found.push(&self.below);
        }
        let Some((first, rest)) = levels.split_first() else {
            if !self.here.is_empty() {
                found.push(&self.here);
            }
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

impl Leaf {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
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

    const OPTIONS: Options = Options {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        id: None,
    };

    fn subscription(number: u64, options: Options) -> Subscription {
        Subscription {
            session: Arc::new(Session::new(number, format!("c{number}"), false, 0)),
            options,
        }
    }

    fn matches(filter: &str, topic: &str) -> bool {
        let mut router = Router::default();
        router.subscribe(filter, subscription(1, OPTIONS));
        !router.find(topic, 2).is_empty()
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
    fn one_target_per_session_and_none_after_unsubscribing() {
        let mut router = Router::default();
        let id = NonZeroU32::new(7);
        let twice = subscription(1, Options { id, ..OPTIONS });
        router.subscribe("a/#", twice.clone());
        router.subscribe("a/b", twice);
        let found = router.find("a/b", 1);
        assert_eq!((found.len(), found[0].ids.len()), (1, 2));
        router.unsubscribe("a/#", 1);
        router.unsubscribe("a/b", 1);
        router.unsubscribe("never/there", 1);
        assert!(router.root.is_empty());
    }

    #[test]
    fn no_local_keeps_a_clients_own_messages_away() {
        let mut router = Router::default();
        let no_local = true;
        router.subscribe(
            "a",
            subscription(
                1,
                Options {
                    no_local,
                    ..OPTIONS
                },
            ),
        );
        assert!(router.find("a", 1).is_empty());
        assert_eq!(router.find("a", 2).len(), 1);
    }

    #[test]
    fn a_group_gets_a_message_once_and_goes_with_its_last_member() {
        let mut router = Router::default();
        let share = Arc::new(Share {
            group: "g".into(),
            filter: "a/#".into(),
        });
        for number in [1, 2] {
            let member = subscription(number, OPTIONS);
            member.session.set_online(true);
            router.join(&share, member);
        }
        let first = router.find("a/x", 9);
        let second = router.find("a/x", 9);
        assert_eq!((first.len(), second.len()), (1, 1));
        assert_ne!(first[0].session.number, second[0].session.number);
        let others = router.members(&share, 1);
        assert_eq!((others.len(), others[0].session.number), (1, 2));
        assert!(router.has_other_member(&share, 1));
        router.leave(&share, 1);
        router.leave(&share, 2);
        assert!(router.root.is_empty());
    }
}
