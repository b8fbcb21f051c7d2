//! What to subscribe to: as configured, or the streams' topics, each matched by one filter only.

use std::collections::BTreeSet;

use catalog::{Error, Result};
use tokio::sync::watch;

use crate::config::{MqttConfig, StreamConfig};
use crate::topic;

/// The filters an external source follows; they may change while it runs.
#[derive(Clone)]
pub(crate) struct Filters {
    configured: Vec<String>,
    share: String,
    wanted: watch::Sender<BTreeSet<String>>,
}

impl Filters {
    /// # Errors
    /// `InvalidInput` for filters that would bring messages twice.
    pub(crate) fn new(mqtt: &MqttConfig, streams: &[StreamConfig]) -> Result<Self> {
        let filters = Self {
            configured: mqtt.subscribe.clone(),
            share: mqtt.share.clone(),
            wanted: watch::Sender::default(),
        };
        filters.follow(streams)?;
        Ok(filters)
    }

    /// Makes the source subscribe to what other streams need, and give back what they do not.
    ///
    /// # Errors
    /// `InvalidInput` for filters that would bring messages twice; then nothing changes.
    pub(crate) fn follow(&self, streams: &[StreamConfig]) -> Result<()> {
        let wanted = self.of(streams)?;
        self.wanted.send_if_modified(|current| {
            let changed = *current != wanted;
            *current = wanted;
            changed
        });
        Ok(())
    }

    /// Refuses streams that [`Filters::follow`] would refuse.
    ///
    /// # Errors
    /// Those of [`Filters::follow`].
    pub(crate) fn check(&self, streams: &[StreamConfig]) -> Result<()> {
        self.of(streams).map(drop)
    }

    pub(super) fn wanted(&self) -> watch::Receiver<BTreeSet<String>> {
        self.wanted.subscribe()
    }

    fn of(&self, streams: &[StreamConfig]) -> Result<BTreeSet<String>> {
        let mut all = self.configured.clone();
        if all.is_empty() {
            for stream in streams {
                all.push(stream.template()?.filter());
            }
        }
        let filters = topic::reduce(all);
        for (i, a) in filters.iter().enumerate() {
            if let Some(b) = filters[i + 1..].iter().find(|b| topic::overlaps(a, b)) {
                return Err(Error::invalid(format!(
                    "two topic filters overlap ({a} and {b}): brokers may send such messages twice"
                ))
                .with_hint(
                    "set `subscribe` to filters that do not overlap, such as one wider filter",
                ));
            }
        }
        Ok(filters
            .into_iter()
            .map(|filter| self.shared(filter))
            .collect())
    }

    /// The filter as the broker is asked for it.
    fn shared(&self, filter: String) -> String {
        match self.share.as_str() {
            "" => filter,
            group => format!("$share/{group}/{filter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, topic: &str) -> StreamConfig {
        StreamConfig::new(name, topic, "a.b".parse().unwrap())
    }

    #[test]
    fn filters_follow_the_streams_and_name_the_group() {
        let mqtt = MqttConfig {
            share: "plant".into(),
            ..MqttConfig::default()
        };
        let filters = Filters::new(&mqtt, &[stream("a", "pumps/{p}/x")]).unwrap();
        let mut wanted = filters.wanted();
        assert!(
            wanted
                .borrow_and_update()
                .contains("$share/plant/pumps/+/x")
        );
        filters.follow(&[stream("a", "pumps/{q}/x")]).unwrap();
        assert!(!wanted.has_changed().unwrap(), "the filter is the same");
        let overlapping = [stream("a", "pumps/{p}/x"), stream("b", "pumps/7/{y}")];
        assert!(filters.follow(&overlapping).is_err());
        assert!(!wanted.has_changed().unwrap());
        filters.follow(&[stream("b", "rigs/{r}")]).unwrap();
        assert!(wanted.has_changed().unwrap());
        let now: Vec<String> = wanted.borrow().iter().cloned().collect();
        assert_eq!(now, ["$share/plant/rigs/+"]);
    }
}
