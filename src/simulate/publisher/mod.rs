//! Publishing at QoS 1 and knowing that every message was acknowledged.
//!
//! A message counts as delivered when the broker has sent its PUBACK, which Pumphouse's own
//! broker does only once the message is on disk. At most [`WINDOW`] messages are on their
//! way at once, so a slow broker slows the publisher and nothing piles up here. When the
//! connection breaks, it is made again and what was not acknowledged is sent again, in
//! order, marked as a duplicate.

mod address;
mod link;
mod pace;
mod run;
#[cfg(test)]
mod tests;

use std::time::Duration;

use catalog::{Error, Result};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) use address::BrokerAddress;
use link::{Link, Progress};
use pace::Pace;
pub(crate) use run::publish_all;

/// One message as it goes to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// A topic without wildcards.
    pub(crate) topic: String,
    /// A JSON object.
    pub(crate) payload: Vec<u8>,
}

/// Messages that may be unacknowledged at once, if the broker takes as many.
const WINDOW: u16 = 2_000;
/// How long the broker keeps our session while we are away, in seconds.
const SESSION_SECONDS: u32 = 300;

/// A connection to a broker that messages are published on.
#[derive(Debug)]
pub(crate) struct Publisher {
    client: AsyncClient,
    /// Absent once its end has been reported.
    link: Option<JoinHandle<Result<()>>>,
    progress: watch::Receiver<Progress>,
    published: u64,
}

/// What became of the messages once all are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Messages published, and acknowledged.
    pub(crate) messages: u64,
    /// Of these, messages that the broker had no subscriber for.
    pub(crate) unmatched: u64,
    /// How often the connection had to be made again.
    pub(crate) reconnects: u64,
}

impl Publisher {
    /// Connects to the broker as `name` and a random suffix.
    ///
    /// Errors: `Unavailable` when nobody answers there, `Unauthenticated` or
    /// `PermissionDenied` when the broker refuses us, `Unsupported` when it does not
    /// speak MQTT 5.
    pub(crate) async fn connect(broker: &BrokerAddress, name: &str) -> Result<Self> {
        let run = Uuid::new_v4().simple().to_string();
        let client_id = format!("pumphouse-{name}-{}", &run[..8]);
        let mut options = MqttOptions::new(client_id, &broker.host, broker.port);
        // A session outlives the connection, so the broker can tell a repeated message.
        options.set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION_SECONDS));
        options.set_outgoing_inflight_upper_limit(WINDOW);
        options.set_keep_alive(Duration::from_secs(30));
        if let Some((user, password)) = &broker.login {
            options.set_credentials(user, password.expose());
        }
        // With room in the channel, rumqttc would send more than the window after it
        // reconnects and lose what does not fit.
        let (client, eventloop) = AsyncClient::new(options, 0);
        let (sender, progress) = watch::channel(Progress::default());
        let link = tokio::spawn(Link::new(eventloop, broker.to_string(), sender).run());
        let mut publisher = Self {
            client,
            link: Some(link),
            progress,
            published: 0,
        };
        let connected = publisher
            .progress
            .wait_for(|progress| progress.connected)
            .await
            .is_ok();
        if !connected {
            return Err(publisher.failure().await);
        }
        Ok(publisher)
    }

    /// Hands one message over; waits while the window is full.
    ///
    /// Errors: what ended the connection for good.
    pub(crate) async fn publish(&mut self, message: Message) -> Result<()> {
        let sent = self
            .client
            .publish(message.topic, QoS::AtLeastOnce, false, message.payload)
            .await;
        if sent.is_err() {
            return Err(self.failure().await);
        }
        self.published += 1;
        Ok(())
    }

    /// Messages acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.progress.borrow().acknowledged
    }

    /// Waits until every message published so far is acknowledged.
    ///
    /// Errors: what ended the connection for good, with the number not acknowledged.
    pub(crate) async fn settle(&mut self) -> Result<Delivery> {
        let published = self.published;
        let settled = self
            .progress
            .wait_for(|progress| progress.acknowledged >= published)
            .await;
        let progress = settled.map(|progress| *progress);
        match progress {
            Ok(progress) => Ok(Delivery {
                messages: progress.acknowledged,
                unmatched: progress.unmatched,
                reconnects: progress.reconnects,
            }),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Waits for the last acknowledgement and takes leave of the broker.
    ///
    /// Errors: as [`settle`](Self::settle).
    pub(crate) async fn finish(mut self) -> Result<Delivery> {
        let delivery = self.settle().await?;
        // Everything is delivered: a connection that breaks now is of no concern.
        if self.client.disconnect().await.is_ok()
            && let Some(link) = &mut self.link
        {
            let _ = tokio::time::timeout(Duration::from_secs(2), link).await;
        }
        Ok(delivery)
    }

    /// Why the link ended, and what it leaves behind.
    async fn failure(&mut self) -> Error {
        let Some(link) = self.link.take() else {
            return Error::unavailable("the connection to the broker has ended");
        };
        let error = match link.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::internal("the connection to the broker was closed early"),
            Err(panic) => Error::internal("the connection to the broker failed").with_source(panic),
        };
        match self.published - self.acknowledged() {
            0 => error,
            open => error.context(format!("{open} messages are not acknowledged")),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.abort();
        }
    }
}
