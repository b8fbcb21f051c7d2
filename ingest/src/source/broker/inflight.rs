//! Messages under way to one subscriber at QoS 1 and 2: packet ids, the window, what to send again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use rmqtt_codec::types::QoS;

use super::publication::Delivery;
use super::tally::Tally;

/// Bytes unacknowledged beyond which a client gets no new message, whatever its window.
const HEAVY: usize = 16 << 20;

/// Messages that have a packet id and are not acknowledged to the end.
#[derive(Debug)]
pub(super) struct Inflight {
    /// By delivery number, which is the order of sending.
    sent: BTreeMap<u64, Sent>,
    by_id: HashMap<u16, u64>,
    /// Numbers to send again on this connection.
    again: VecDeque<u64>,
    last: u16,
    window: usize,
    bytes: Tally,
}

#[derive(Debug)]
struct Sent {
    id: NonZeroU16,
    delivery: Delivery,
    /// The subscriber has it (PUBREC): only PUBREL is sent from now on.
    released: bool,
}

/// What a PUBREC is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The delivery of this number has arrived for the first time.
    First(u64),
    Again,
    /// No delivery at QoS 2 has this packet id.
    Unknown,
}

impl Default for Inflight {
    fn default() -> Self {
        Self {
            sent: BTreeMap::new(),
            by_id: HashMap::new(),
            again: VecDeque::new(),
            last: 0,
            window: 1,
            bytes: Tally::default(),
        }
    }
}

impl Inflight {
    /// Begins a connection that takes `window` unacknowledged messages. Everything unacknowledged
    /// is to be sent again; returns the packet ids of those that only need their PUBREL.
    pub(super) fn resume(&mut self, window: u16) -> Vec<NonZeroU16> {
        self.window = usize::from(window.max(1));
        self.again.clear();
        let mut released = Vec::new();
        for (number, sent) in &self.sent {
            if sent.released {
                released.push(sent.id);
            } else {
                self.again.push_back(*number);
            }
        }
        released
    }

    /// Whether another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        let unused_ids = self.sent.len() < usize::from(u16::MAX);
        unused_ids && self.sent.len() - self.again.len() < self.window
    }

    /// Counts its bytes to this sum; while nothing is under way.
    pub(super) fn count_to(&mut self, sum: &Arc<AtomicUsize>) {
        self.bytes = Tally::of(sum);
    }

    /// Whether so many bytes are under way that the client gets nothing new before it has
    /// acknowledged some.
    pub(super) fn is_heavy(&self) -> bool {
        self.bytes.mine() >= HEAVY
    }

    /// Gives up everything, for a session that is over.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether messages wait to be sent again.
    pub(super) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// The next message to send again, if the window has room.
    pub(super) fn next_again(&mut self) -> Option<(NonZeroU16, Delivery)> {
        if !self.has_room() {
            return None;
        }
        let sent = self.sent.get(&self.again.pop_front()?)?;
        Some((sent.id, sent.delivery.clone()))
    }

    /// Gives a delivery a packet id that is not in use. The window must have room.
    pub(super) fn add(&mut self, delivery: Delivery) -> NonZeroU16 {
        let id = loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            let free = !self.by_id.contains_key(&self.last);
            if let Some(id) = NonZeroU16::new(self.last).filter(|_| free) {
                break id;
            }
        };
        self.put(id, delivery, false);
        id
    }

    /// Puts back a delivery as it was before a restart.
    pub(super) fn put(&mut self, id: NonZeroU16, delivery: Delivery, released: bool) {
        self.by_id.insert(id.get(), delivery.number);
        self.bytes.add(delivery.publication.size());
        let sent = Sent {
            id,
            delivery,
            released,
        };
        self.sent.insert(sent.delivery.number, sent);
    }

    /// The subscriber's PUBACK; the number of the delivery that is done, none when the packet id
    /// is not one of QoS 1.
    pub(super) fn acknowledged(&mut self, id: u16) -> Option<u64> {
        self.remove_if(id, |sent| sent.delivery.qos == QoS::AtLeastOnce)
    }

    /// The subscriber's PUBREC.
    pub(super) fn received(&mut self, id: u16) -> Received {
        let number = self.by_id.get(&id).copied().unwrap_or(0);
        match self.sent.get_mut(&number) {
            Some(sent) if sent.delivery.qos == QoS::ExactlyOnce => {
                if std::mem::replace(&mut sent.released, true) {
                    return Received::Again;
                }
                self.again.retain(|n| *n != number);
                Received::First(number)
            }
            _ => Received::Unknown,
        }
    }

    /// The subscriber's PUBCOMP; the number of the delivery that is done.
    pub(super) fn completed(&mut self, id: u16) -> Option<u64> {
        self.remove_if(id, |sent| sent.released)
    }

    /// The subscriber does not take the message, or it cannot be sent at all.
    pub(super) fn refused(&mut self, id: u16) -> Option<u64> {
        self.remove_if(id, |sent| !sent.released)
    }

    /// Takes out what another member of a shared subscription may get instead: QoS 1, since a
    /// message at QoS 2 that has begun belongs to its client [MQTT-4.8.2-4].
    pub(super) fn take_shared(&mut self, is_free: &impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let once = |s: &Sent| s.delivery.qos == QoS::AtLeastOnce && is_free(&s.delivery);
        let free = self.sent.values().filter(|s| once(s));
        let ids: Vec<u16> = free.map(|sent| sent.id.get()).collect();
        ids.iter().filter_map(|id| self.remove(*id)).collect()
    }

    fn remove_if(&mut self, id: u16, fits: impl Fn(&Sent) -> bool) -> Option<u64> {
        let number = self.by_id.get(&id)?;
        if !self.sent.get(number).is_some_and(fits) {
            return None;
        }
        self.remove(id).map(|delivery| delivery.number)
    }

    fn remove(&mut self, id: u16) -> Option<Delivery> {
        let number = self.by_id.remove(&id)?;
        if self.again.front() == Some(&number) {
            self.again.pop_front();
        } else if !self.again.is_empty() {
            self.again.retain(|n| *n != number);
        }
        let delivery = self.sent.remove(&number)?.delivery;
        self.bytes.sub(delivery.publication.size());
        Some(delivery)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use rmqtt_codec::types::Publish;

    use super::*;
    use crate::source::broker::publication::Publication;

    fn delivery(number: u64, qos: QoS) -> Delivery {
        let publish = Publish {
            dup: false,
            retain: false,
            qos,
            topic: "t".into(),
            packet_id: None,
            payload: Bytes::new(),
            properties: None,
        };
        Delivery {
            publication: Arc::new(Publication::new(&publish)),
            number,
            qos,
            retain: false,
            ids: Vec::new(),
            share: None,
        }
    }

    #[test]
    fn packet_ids_wrap_and_are_not_used_twice() {
        let mut inflight = Inflight::default();
        inflight.resume(2);
        inflight.last = u16::MAX;
        assert_eq!(inflight.add(delivery(1, QoS::AtLeastOnce)).get(), 1);
        assert_eq!(inflight.add(delivery(2, QoS::AtLeastOnce)).get(), 2);
        assert!(!inflight.has_room());
        assert_eq!(inflight.acknowledged(1), Some(1));
        assert_eq!(inflight.acknowledged(1), None);
        inflight.last = u16::MAX;
        assert_eq!(inflight.add(delivery(3, QoS::AtLeastOnce)).get(), 1);
    }

    #[test]
    fn what_is_unacknowledged_comes_again_in_order_within_the_window() {
        let mut inflight = Inflight::default();
        inflight.resume(10);
        for number in 1..=4 {
            inflight.add(delivery(number, QoS::ExactlyOnce));
        }
        assert_eq!(inflight.received(2), Received::First(2));
        assert_eq!(inflight.received(2), Received::Again);
        let released = inflight.resume(3);
        assert_eq!(released, [NonZeroU16::new(2).unwrap()]);
        let mut numbers = Vec::new();
        while let Some((_, delivery)) = inflight.next_again() {
            numbers.push(delivery.number);
        }
        assert_eq!(numbers, [1, 3]);
        assert_eq!(inflight.completed(2), Some(2));
        assert_eq!(inflight.next_again().unwrap().1.number, 4);
        assert_eq!(inflight.received(9), Received::Unknown);
    }
}
