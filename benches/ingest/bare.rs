//! The yardstick: a `rumqttc` subscriber that only counts.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use std::time::Instant;

use crate::Result;
use crate::load::Load;

/// Messages a second from the first publish until the last one is counted.
pub(crate) async fn count(load: &Load, messages: u64) -> Result<f64> {
    let address = load.broker;
    let mut options = MqttOptions::new("bench-bare", address.ip().to_string(), address.port());
    options.set_receive_maximum(Some(4_096));
    let (client, mut events) = AsyncClient::new(options, 8_192);
    let filter = format!("{}/#", load.prefix);
    client.subscribe(filter, QoS::AtLeastOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}

    let started = Instant::now();
    let load = load.clone();
    let sending = tokio::task::spawn_blocking(move || load.publish(messages));
    let mut counted = 0;
    while counted < messages {
        if let Event::Incoming(Packet::Publish(_)) = events.poll().await? {
            counted += 1;
        }
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    sending.await??;
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(rate)
}
