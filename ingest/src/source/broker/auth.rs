//! Who may come in, and what they may do.
//!
//! A client is who its password says, or its certificate, or nobody. Nobody comes in on loopback
//! addresses only.

mod acl;
mod passwords;
mod watched;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use catalog::Result;
use ring::hmac;
use tokio::sync::Semaphore;

use self::acl::{Acl, Allowed};
use self::passwords::Passwords;
use self::watched::Watched;
use crate::config::BrokerConfig;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// It came in where other machines can.
    pub(super) public: bool,
    /// Its certificate's common name, once verified.
    pub(super) certificate: Option<String>,
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
    BadUserOrPassword,
    NotAuthorized,
}

/// A client as access rules know it.
#[derive(Debug, Clone)]
struct User {
    /// None: it has not said, or cannot prove it.
    name: Option<String>,
    client: String,
}

/// What a client that has been let in may do. Asked for every PUBLISH, so it must be cheap.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    user: Option<String>,
    /// None: whatever it wants.
    allowed: Option<Arc<Allowed>>,
}

/// Who is let in.
pub(super) struct Access {
    users: Option<Watched<Users>>,
    acl: Option<Watched<Acl>>,
    anonymous: bool,
    /// Passwords checked at a time: a flood of logins leaves cores to the others.
    checks: Arc<Semaphore>,
}

/// The password file, and the passwords that were right since it was read.
struct Users {
    passwords: Passwords,
    /// A password that was right is known again by a fast hash, under a key of this process.
    key: hmac::Key,
    known: Mutex<HashMap<String, hmac::Tag>>,
}

impl Access {
    /// # Errors
    /// `InvalidInput` for a file that cannot be read, naming its line.
    pub(super) fn new(config: &BrokerConfig) -> Result<Self> {
        let users = config
            .users
            .as_deref()
            .map(|file| Watched::new(file, Users::parse));
        let acl = config
            .acl
            .as_deref()
            .map(|file| Watched::new(file, Acl::parse));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            anonymous: config.allow_anonymous.unwrap_or(users.is_none()),
            users: users.transpose()?,
            acl: acl.transpose()?,
            checks: Arc::new(Semaphore::new((cores / 2).max(1))),
        })
    }

    /// Whether any client comes in without proving who it is.
    pub(super) fn is_open(&self) -> bool {
        self.anonymous
    }

    /// Whether the client may come in.
    pub(super) async fn check(&self, credentials: Credentials<'_>) -> Verdict {
        let peer = credentials.peer;
        let name = match (&self.users, credentials.user) {
            (Some(users), Some(user)) => {
                let password = credentials.password.unwrap_or_default();
                if !self.knows(users.current(), user, password).await {
                    tracing::info!(peer = %peer.address, user, "an MQTT client gave a wrong password");
                    return Verdict::BadUserOrPassword;
                }
                Some(user.to_owned())
            }
            _ => peer.certificate.clone(),
        };
        if name.is_none() && (peer.public || !self.anonymous) {
            tracing::info!(peer = %peer.address, "an MQTT client did not say who it is");
            return Verdict::NotAuthorized;
        }
        let user = User {
            name,
            client: credentials.client_id.to_owned(),
        };
        let acl = self.acl.as_ref().map(Watched::current);
        Verdict::Granted(Rights {
            allowed: acl.map(|acl| Arc::new(acl.of(&user))),
            user: user.name,
        })
    }

    async fn knows(&self, users: Arc<Users>, user: &str, password: &[u8]) -> bool {
        if users.remembers(user, password) {
            return true;
        }
        // It is never closed.
        let Ok(permit) = Arc::clone(&self.checks).acquire_owned().await else {
            return false;
        };
        let (user, password) = (user.to_owned(), password.to_owned());
        let check = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            users.check(&user, &password)
        });
        check.await.unwrap_or(false)
    }
}

impl Users {
    fn parse(text: &str) -> Result<Self> {
        let random = ring::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| catalog::Error::internal("the system gives no random numbers"))?;
        Ok(Self {
            passwords: Passwords::parse(text)?,
            key,
            known: Mutex::default(),
        })
    }

    fn remembers(&self, user: &str, password: &[u8]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(user)
            .is_some_and(|tag| hmac::verify(&self.key, password, tag.as_ref()).is_ok())
    }

    fn check(&self, user: &str, password: &[u8]) -> bool {
        let right = self.passwords.of(user).is_of(password);
        if right {
            let tag = hmac::sign(&self.key, password);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(user.to_owned(), tag);
        }
        right
    }
}

impl Rights {
    /// Who it is, if it has proved that.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the client may publish to the topic.
    pub(super) fn publish(&self, topic: &str) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.publish(topic))
    }

    /// Whether the client may subscribe to the filter, given without `$share/group/`.
    pub(super) fn subscribe(&self, filter: &str) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.subscribe(filter))
    }
}

#[cfg(test)]
#[path = "auth/tests.rs"]
mod tests;
