//! Messages that wait for one subscriber, bounded in number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::publication::Delivery;
use super::tally::Tally;

/// How much may wait for one subscriber.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueBounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// Bytes that may wait for, and be under way to, all subscribers together.
    pub(super) all_bytes: usize,
}

/// Deliveries in order. Room is taken first and filled later, so that a delivery can be journaled
/// in between.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Delivery>,
    messages: usize,
    bytes: Tally,
}

impl Queue {
    /// Counts its bytes to this sum; for a queue that is empty.
    pub(super) fn count_to(&mut self, sum: &Arc<AtomicUsize>) {
        self.bytes = Tally::of(sum);
    }

    /// Takes room for a message of this size; false when the queue is full.
    pub(super) fn reserve(&mut self, size: usize, bounds: QueueBounds) -> bool {
        let mine = self.bytes.mine().saturating_add(size);
        let all = self.bytes.sum().saturating_add(size);
        if self.messages >= bounds.messages || mine > bounds.bytes || all > bounds.all_bytes {
            return false;
        }
        self.reserve_anyway(size);
        true
    }

    /// How many more messages may wait within these bounds, whatever their size.
    pub(super) fn room(&self, bounds: QueueBounds) -> usize {
        if self.bytes.mine() >= bounds.bytes {
            return 0;
        }
        bounds.messages.saturating_sub(self.messages)
    }

    /// Takes room beyond the bounds, for what is bounded elsewhere.
    pub(super) fn reserve_anyway(&mut self, size: usize) {
        self.messages += 1;
        self.bytes.add(size);
    }

    /// Adds a delivery that room was taken for.
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.waiting.push_back(delivery);
    }

    /// Takes the oldest delivery.
    pub(super) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.waiting.pop_front()?;
        self.release(&delivery);
        Some(delivery)
    }

    /// The oldest delivery.
    pub(super) fn front(&self) -> Option<&Delivery> {
        self.waiting.front()
    }

    /// Takes out every delivery that `wanted` says.
    pub(super) fn take(&mut self, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let (taken, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(wanted);
        self.waiting = kept.into();
        for delivery in &taken {
            self.release(delivery);
        }
        taken
    }

    fn release(&mut self, delivery: &Delivery) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes.sub(delivery.publication.size());
    }
}
