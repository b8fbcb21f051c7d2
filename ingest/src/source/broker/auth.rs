//! Who may come in, and what they may do.

use std::net::SocketAddr;

use crate::config::BrokerConfig;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
}

/// What a CONNECT says of its sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credentials<'a> {
    pub(super) peer: &'a Peer,
    /// Empty when the client leaves the choice to the broker.
    pub(super) client_id: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

/// The answer to a CONNECT.
#[derive(Debug)]
pub(super) enum Verdict {
    Granted(Rights),
    #[expect(dead_code, reason = "nobody is asked for a password yet")]
    BadUserOrPassword,
    #[expect(dead_code, reason = "nobody is kept out yet")]
    NotAuthorized,
}

/// What a client that has been let in may do. Asked for every PUBLISH, so it must be cheap.
#[derive(Debug, Clone)]
pub(super) struct Rights;

/// Who is let in.
pub(super) struct Access;

impl Access {
    pub(super) fn new(_config: &BrokerConfig) -> Self {
        Self
    }

    /// Whether the client may come in.
    #[expect(clippy::unused_async, reason = "checking a password takes long")]
    pub(super) async fn check(&self, credentials: Credentials<'_>) -> Verdict {
        let Credentials {
            peer,
            client_id,
            user,
            password,
        } = credentials;
        tracing::debug!(
            client = client_id,
            peer = %peer.address,
            user,
            password = password.is_some(),
            "an MQTT client connects"
        );
        Verdict::Granted(Rights)
    }
}

impl Rights {
    /// Whether the client may publish to the topic.
    pub(super) fn publish(&self, _topic: &str) -> bool {
        true
    }

    /// Whether the client may subscribe to the filter, given without `$share/group/`.
    pub(super) fn subscribe(&self, _filter: &str) -> bool {
        true
    }
}
