//! Shared subscriptions: the members of a group take turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use catalog::{Error, Result};

use super::router::{Share, Subscription, Target};
use crate::topic;

/// What the filters of shared subscriptions begin with.
const PREFIX: &str = "$share/";

/// The members of one group for one filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) share: Arc<Share>,
    members: Vec<Subscription>,
    next: AtomicUsize,
}

impl Share {
    /// Takes `$share/group/filter` apart; none for a filter that is not shared.
    ///
    /// # Errors
    /// `InvalidInput` for a group without name, with a wildcard in it, or without a filter
    /// [MQTT-4.8.2-1, MQTT-4.8.2-2].
    pub(super) fn parse(filter: &str) -> Result<Option<Self>> {
        let Some(rest) = filter.strip_prefix(PREFIX) else {
            if filter == "$share" {
                return Err(Error::invalid("a shared subscription without a group"));
            }
            return Ok(None);
        };
        let bad = || Error::invalid(format!("'{filter}' is no shared subscription"));
        let (group, filter) = rest.split_once('/').ok_or_else(bad)?;
        if group.is_empty() || group.contains(['+', '#']) {
            return Err(bad());
        }
        topic::check_filter(filter)?;
        Ok(Some(Self {
            group: group.to_owned(),
            filter: filter.to_owned(),
        }))
    }
}

impl Group {
    pub(super) fn new(share: Arc<Share>, first: Subscription) -> Self {
        Self {
            share,
            members: vec![first],
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn join(&mut self, subscription: Subscription) {
        let number = subscription.session.number;
        match self.members.iter_mut().find(|m| m.session.number == number) {
            Some(member) => *member = subscription,
            None => self.members.push(subscription),
        }
    }

    pub(super) fn leave(&mut self, session: u64) {
        self.members.retain(|m| m.session.number != session);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member whose turn it is: a connected one, or else one whose session keeps the message.
    pub(super) fn pick(&self) -> Option<Target> {
        let member = self.turn().find(|m| m.session.is_online());
        let member = member.or_else(|| self.turn().find(|m| m.session.lasting));
        member.map(|m| self.target(m))
    }

    /// Whether a member other than this session is connected.
    pub(super) fn has_connected(&self, except: u64) -> bool {
        let mut others = self.members.iter().filter(|m| m.session.number != except);
        others.any(|m| m.session.is_online())
    }

    /// All members but this session: the connected ones in turn, and then the lasting ones.
    pub(super) fn others(&self, except: u64) -> Vec<Target> {
        let others = self.turn().filter(|m| m.session.number != except);
        let (online, away): (Vec<_>, Vec<_>) = others.partition(|m| m.session.is_online());
        let lasting = away.into_iter().filter(|m| m.session.lasting);
        let others = online.into_iter().chain(lasting);
        others.map(|m| self.target(m)).collect()
    }

    /// All members, from the next one on.
    fn turn(&self) -> impl Iterator<Item = &Subscription> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.members.len().max(1);
        let (before, from) = self.members.split_at(start.min(self.members.len()));
        from.iter().chain(before)
    }

    fn target(&self, member: &Subscription) -> Target {
        Target::new(member, Some(Arc::clone(&self.share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_filters_come_apart_or_are_refused() {
        assert_eq!(Share::parse("a/b").unwrap(), None);
        let share = Share::parse("$share/g/a/+/#").unwrap().unwrap();
        assert_eq!((&share.group[..], &share.filter[..]), ("g", "a/+/#"));
        for bad in [
            "$share",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/g#/a",
            "$share/g/a/#/b",
        ] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }
}
