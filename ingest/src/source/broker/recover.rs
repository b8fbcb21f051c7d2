//! The broker's lasting state as its journal has it, made live again.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::journal::{Model, SessionImage};
use super::publication::Delivery;
use super::session::{Held, Session};
use crate::source::now_micros;

impl Hub {
    /// Takes over what the journal holds. Clients that were connected have just gone.
    pub(super) fn restore(self: &Arc<Self>, model: Model) {
        let mut retained = self.retained();
        for publication in model.retained.values() {
            retained.put(publication);
        }
        self.counters.broker.retained.set(retained.len());
        drop(retained);
        for (number, image) in model.sessions {
            self.restore_session(number, image);
        }
        self.counters.broker.sessions.set(self.sessions.len());
    }

    fn restore_session(self: &Arc<Self>, number: u64, image: SessionImage) {
        let session = Session::new(number, image.client, true, image.expiry);
        let session = Arc::new(session.belonging(image.user, &self.sessions.kept_bytes));
        self.sessions.restore(&session);
        let mut state = session.state();
        state.will = image.will;
        for id in image.held {
            state.held.insert(id, Held::Owned);
        }
        for (number, restored) in image.deliveries {
            let delivery = Delivery {
                publication: restored.publication,
                number,
                qos: restored.target.qos,
                retain: restored.target.retain,
                ids: restored.target.ids,
                share: restored.target.share,
            };
            state.continue_after(number);
            match NonZeroU16::new(restored.id) {
                Some(id) => state.inflight.put(id, delivery, restored.released),
                None => {
                    state.queue.reserve_anyway(delivery.publication.size());
                    state.queue.push(delivery);
                }
            }
        }
        let since = image.offline.unwrap_or_else(now_micros);
        let away = u64::try_from(now_micros() - since).unwrap_or(0);
        self.arm(&session, &mut state, Duration::from_micros(away));
        for (filter, options) in image.filters {
            self.subscribe(&session, &mut state, &filter, options);
        }
    }
}
