//! Last wills: what a client leaves to be said when it goes without a word.

use std::sync::Arc;

use super::Hub;
use super::deliver::Batch;
use super::session::Will;
use crate::source::now_micros;
use crate::wal::{Group, Message};

impl Hub {
    /// Publishes a will as its client would have: into the log, and to its subscribers.
    pub(super) fn publish_will(self: &Arc<Self>, will: &Will, session: u64) {
        let hub = Arc::clone(self);
        // Without waiting where the log has room, so that a shutdown finds it there.
        let topic = will.publication.topic();
        if self.is_logged(topic) {
            let message = Message {
                client: 0,
                packet_id: 0,
                dup: false,
                received: now_micros(),
                topic: will.publication.publish.topic.as_bytes().clone(),
                payload: will.publication.publish.payload.clone(),
            };
            let bytes = message.encoded_len();
            let (acks, _) = tokio::sync::mpsc::unbounded_channel();
            let group = Group {
                messages: vec![message],
                acks,
            };
            match self.log.try_reserve(bytes) {
                Some(permit) => {
                    // A log that has closed takes no more messages.
                    let _ = permit.submit(group);
                }
                None => {
                    self.tracker.spawn(async move {
                        if let Ok(permit) = hub.log.reserve(bytes).await {
                            let _ = permit.submit(group);
                        }
                    });
                }
            }
        }
        let mut batch = Batch::new(self);
        batch.publish(&will.publication, session);
        batch.finish();
    }
}
