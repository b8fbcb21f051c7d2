//! Which message was logged last under each packet id, so that a redelivered one is not logged twice.
//!
//! A sender may give a packet id to another message only after the acknowledgement of the first has
//! reached it. So a message marked as a redelivery is either the one logged last under its packet
//! id, or one whose first sending never arrived. Those two differ in topic or payload.

use std::collections::HashMap;
use std::hash::BuildHasher;

use ahash::RandomState;

use super::record::Message;

/// Packet ids in a page, which is allocated as a whole.
const PAGE: usize = 256;
/// Packet ids remembered for all sessions together: 128 MiB at most.
const MOST_IDS: usize = 16 << 20;

/// The last messages of each session and packet id, as fingerprints of topic and payload.
pub(super) struct Redeliveries {
    hasher: RandomState,
    /// Messages remembered under one packet id.
    depth: usize,
    sessions: HashMap<u64, Session, RandomState>,
    pages: usize,
    most_pages: usize,
    /// Counts insertions, to tell old pages from new ones.
    clock: u64,
}

/// Pages by the upper half of the packet id.
#[derive(Default)]
struct Session(Vec<Option<Page>>);

struct Page {
    /// Fingerprints, 0 for none; those of one packet id stand together, the last one first.
    slots: Box<[u64]>,
    touched: u64,
}

impl Redeliveries {
    /// Remembers `depth` messages under each packet id. One is right for a sender that keeps to the
    /// rule; Mosquitto up to 2.0.11 has more messages under way than there are packet ids.
    pub(super) fn new(depth: usize) -> Self {
        Self::bounded(depth, MOST_IDS / PAGE / depth)
    }

    fn bounded(depth: usize, most_pages: usize) -> Self {
        // Keyed at random, so that nobody can make messages that seem to be redeliveries.
        let seed = || std::hash::RandomState::new().hash_one(0);
        let hasher = RandomState::with_seeds(seed(), seed(), seed(), seed());
        Self {
            sessions: HashMap::with_hasher(hasher.clone()),
            hasher,
            depth,
            pages: 0,
            most_pages,
            clock: 0,
        }
    }

    /// Whether this message is a redelivery of one that was logged.
    pub(super) fn is_duplicate(&self, message: &Message) -> bool {
        if !message.dup || message.packet_id == 0 {
            return false;
        }
        let (page, first) = place(message.packet_id, self.depth);
        let page = self
            .sessions
            .get(&message.client)
            .and_then(|session| session.0.get(page)?.as_ref());
        page.is_some_and(|page| {
            let fingerprint = self.fingerprint(message);
            page.slots[first..first + self.depth].contains(&fingerprint)
        })
    }

    /// Notes a message that is being logged.
    pub(super) fn insert(&mut self, message: &Message) {
        if message.packet_id == 0 {
            return;
        }
        if self.pages >= self.most_pages {
            self.forget();
        }
        self.clock += 1;
        let fingerprint = self.fingerprint(message);
        let (at, first) = place(message.packet_id, self.depth);
        let pages = &mut self.sessions.entry(message.client).or_default().0;
        if pages.len() <= at {
            pages.resize_with(at + 1, || None);
        }
        let page = pages[at].get_or_insert_with(|| {
            self.pages += 1;
            Page {
                slots: vec![0; PAGE * self.depth].into(),
                touched: 0,
            }
        });
        page.touched = self.clock;
        let slots = &mut page.slots[first..first + self.depth];
        slots.rotate_right(1);
        slots[0] = fingerprint;
    }

    /// Gives up an eighth of the pages. Sessions that fill many go through their packet ids fast,
    /// so that their old pages are the least likely to be asked for: theirs go first.
    fn forget(&mut self) {
        let mut pages: Vec<(usize, u64)> = Vec::new();
        for session in self.sessions.values() {
            let mut touched: Vec<u64> = session.0.iter().flatten().map(|p| p.touched).collect();
            touched.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
            pages.extend(touched.into_iter().enumerate());
        }
        // From the last one in a long row of pages to the newest of each session, oldest first.
        pages.sort_unstable_by_key(|(newer, touched)| (std::cmp::Reverse(*newer), *touched));
        pages.truncate((self.most_pages / 8).max(1));
        let gone: std::collections::HashSet<u64> = pages.into_iter().map(|(_, at)| at).collect();
        self.sessions.retain(|_, session| {
            for slot in &mut session.0 {
                if slot
                    .as_ref()
                    .is_some_and(|page| gone.contains(&page.touched))
                {
                    *slot = None;
                }
            }
            session.0.iter().any(Option::is_some)
        });
        self.pages -= gone.len();
    }

    fn fingerprint(&self, message: &Message) -> u64 {
        // Zero stands for none.
        self.hasher
            .hash_one((&message.topic[..], &message.payload[..]))
            .max(1)
    }
}

/// The page of a packet id and its first slot there.
fn place(packet_id: u16, depth: usize) -> (usize, usize) {
    let id = usize::from(packet_id);
    (id / PAGE, id % PAGE * depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn message(client: u64, packet_id: u16, dup: bool, payload: &str) -> Message {
        Message {
            client,
            packet_id,
            dup,
            received: 0,
            topic: Bytes::from_static(b"t"),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }

    #[test]
    fn only_a_marked_redelivery_of_the_last_message_is_a_duplicate() {
        let mut seen = Redeliveries::new(1);
        seen.insert(&message(1, 1, false, "a"));
        assert!(seen.is_duplicate(&message(1, 1, true, "a")));
        assert!(!seen.is_duplicate(&message(1, 1, false, "a")));
        assert!(!seen.is_duplicate(&message(1, 1, true, "b")));
        assert!(!seen.is_duplicate(&message(1, 2, true, "a")));
        assert!(!seen.is_duplicate(&message(2, 1, true, "a")));
        // The packet id was used again, so the first message had been acknowledged: what comes
        // now is new, and its first sending never arrived.
        seen.insert(&message(1, 1, false, "b"));
        assert!(!seen.is_duplicate(&message(1, 1, true, "a")));
        assert!(seen.is_duplicate(&message(1, 1, true, "b")));
    }

    #[test]
    fn a_depth_covers_packet_ids_used_twice_at_once() {
        let mut seen = Redeliveries::new(2);
        for payload in ["a", "b", "c"] {
            seen.insert(&message(1, 65_535, false, payload));
        }
        let known = |payload| seen.is_duplicate(&message(1, 65_535, true, payload));
        assert_eq!(["a", "b", "c"].map(known), [false, true, true]);
    }

    #[test]
    fn a_quiet_session_outlasts_busy_ones() {
        let mut seen = Redeliveries::bounded(1, 64);
        seen.insert(&message(1, 1, false, "quiet"));
        for id in 1..=u16::MAX {
            seen.insert(&message(2, id, false, "busy"));
            assert!(seen.pages <= 64);
        }
        assert!(seen.is_duplicate(&message(1, 1, true, "quiet")));
        assert!(seen.is_duplicate(&message(2, u16::MAX, true, "busy")));
        assert!(!seen.is_duplicate(&message(2, 1, true, "busy")));
    }

    proptest! {
        /// Against a map from session and packet id to the last payloads.
        #[test]
        fn it_is_a_map_of_the_last_messages(
            depth in 1_usize..4,
            sent in prop::collection::vec((0_u64..3, 0_u16..600, 0_u8..3, any::<bool>()), 1..300),
        ) {
            let mut seen = Redeliveries::new(depth);
            let mut model: HashMap<(u64, u16), Vec<u8>> = HashMap::new();
            for (client, id, payload, dup) in sent {
                let message = message(client, id, dup, &payload.to_string());
                let last = model.entry((client, id)).or_default();
                let known = last.iter().rev().take(depth).any(|p| *p == payload);
                prop_assert_eq!(seen.is_duplicate(&message), dup && id != 0 && known);
                if !seen.is_duplicate(&message) {
                    seen.insert(&message);
                    last.push(payload);
                }
            }
        }
    }
}
