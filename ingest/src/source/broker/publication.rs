//! An application message as the broker keeps it, apart from how it came and to whom it goes.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rmqtt_codec::types::{Publish, QoS};

use super::router::Share;
use crate::source::now_micros;

/// Bytes counted for a message beside its topic and payload.
const OVERHEAD: usize = 200;

/// A message that may wait for subscribers. It holds its own bytes and not a part of some read
/// buffer, so that what waits costs what it says.
#[derive(Debug, PartialEq)]
pub(super) struct Publication {
    /// Without packet id, DUP flag, topic alias, subscription identifiers and expiry.
    pub(super) publish: Publish,
    /// When it is worth nothing any more, in microseconds since the epoch.
    pub(super) expires: i64,
}

/// A publication on its way to one session.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) publication: Arc<Publication>,
    /// Its place among all deliveries to the session.
    pub(super) number: u64,
    pub(super) qos: QoS,
    /// The retain flag to send.
    pub(super) retain: bool,
    /// Identifiers of the subscriptions that it matched.
    pub(super) ids: Vec<NonZeroU32>,
    /// The shared subscription it came by.
    pub(super) share: Option<Arc<Share>>,
}

impl Publication {
    /// Takes what a client has sent, with its topic in place of an alias.
    pub(super) fn new(publish: &Publish) -> Self {
        let mut copy = Publish {
            dup: false,
            packet_id: None,
            properties: publish.properties.clone(),
            ..publish.clone()
        };
        let mut bytes = BytesMut::with_capacity(publish.topic.len() + publish.payload.len());
        bytes.extend_from_slice(publish.topic.as_bytes());
        bytes.extend_from_slice(&publish.payload);
        let mut bytes = bytes.freeze();
        let topic = bytes.split_to(publish.topic.len());
        if let Ok(topic) = topic.try_into() {
            copy.topic = topic;
        }
        copy.payload = bytes;
        let mut expires = i64::MAX;
        if let Some(properties) = &mut copy.properties {
            if let Some(seconds) = properties.message_expiry_interval.take() {
                expires = after(i64::from(seconds.get()));
            }
            properties.topic_alias = None;
            properties.subscription_ids.clear();
            properties.correlation_data =
                (properties.correlation_data.as_deref()).map(Bytes::copy_from_slice);
            properties.content_type = properties.content_type.as_deref().map(Into::into);
            properties.response_topic = properties.response_topic.as_deref().map(Into::into);
            for (key, value) in &mut properties.user_properties {
                (*key, *value) = ((**key).into(), (**value).into());
            }
        }
        if copy.properties == Some(Default::default()) {
            copy.properties = None;
        }
        Self {
            publish: copy,
            expires,
        }
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.publish.topic
    }

    /// Bytes it is counted for.
    pub(super) fn size(&self) -> usize {
        let properties = self.publish.properties.as_ref().map_or(0, |p| {
            let user = p
                .user_properties
                .iter()
                .map(|(k, v)| k.len() + v.len() + 64);
            let correlation = p.correlation_data.as_ref().map_or(0, Bytes::len);
            let content = p.content_type.as_ref().map_or(0, |it| it.len());
            let response = p.response_topic.as_ref().map_or(0, |it| it.len());
            user.sum::<usize>() + correlation + content + response + 200
        });
        OVERHEAD + self.publish.topic.len() + self.publish.payload.len() + properties
    }

    /// Whether it has expired.
    pub(super) fn is_expired(&self) -> bool {
        self.expires != i64::MAX && self.expires <= now_micros()
    }

    /// Whole seconds until it expires, at least one.
    fn seconds_left(&self) -> Option<NonZeroU32> {
        if self.expires == i64::MAX {
            return None;
        }
        let micros = (self.expires - now_micros()).max(1);
        let seconds = u32::try_from((micros + 999_999) / 1_000_000).unwrap_or(u32::MAX);
        NonZeroU32::new(seconds)
    }
}

impl Delivery {
    /// The packet to send under this packet id.
    pub(super) fn packet(&self, id: Option<std::num::NonZeroU16>, dup: bool) -> Box<Publish> {
        let mut publish = self.publication.publish.clone();
        publish.qos = self.qos;
        publish.retain = self.retain;
        publish.packet_id = id;
        publish.dup = dup;
        let left = self.publication.seconds_left();
        if left.is_some() || !self.ids.is_empty() {
            let properties = publish.properties.get_or_insert_default();
            properties.message_expiry_interval = left;
            properties.subscription_ids.clone_from(&self.ids);
        }
        Box::new(publish)
    }
}

/// The time so many seconds from now, in microseconds since the epoch.
pub(super) fn after(seconds: i64) -> i64 {
    now_micros().saturating_add(seconds.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use rmqtt_codec::v5::PublishProperties;

    use super::*;

    #[test]
    fn every_part_of_a_message_counts() {
        let long = "x".repeat(60_000);
        let message = |properties| {
            let publish = Publish {
                dup: false,
                retain: false,
                qos: QoS::AtLeastOnce,
                topic: "t".into(),
                packet_id: None,
                payload: Bytes::new(),
                properties: Some(properties),
            };
            Publication::new(&publish).size()
        };
        let parts = [
            PublishProperties {
                content_type: Some(long.as_str().into()),
                ..PublishProperties::default()
            },
            PublishProperties {
                response_topic: Some(long.as_str().into()),
                ..PublishProperties::default()
            },
            PublishProperties {
                correlation_data: Some(long.clone().into()),
                ..PublishProperties::default()
            },
            PublishProperties {
                user_properties: vec![("key".into(), long.as_str().into())],
                ..PublishProperties::default()
            },
        ];
        for properties in parts {
            assert!(message(properties.clone()) > long.len(), "{properties:?}");
        }
    }
}
