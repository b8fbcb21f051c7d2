//! The bytes of a journal record: what changed in the broker, as tagged fields.
//!
//! Little endian; texts and byte strings carry a `u32` length. The properties of a message, which
//! are rare, are JSON.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use rmqtt_codec::types::{Publish, QoS};

use crate::source::broker::publication::Publication;
use crate::source::broker::router::{Options, Share};
use crate::source::broker::session::Will;

/// A change of what the broker must not forget.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// A lasting session begins, or its client is back.
    Open {
        session: u64,
        client: String,
        /// Who has proved to be its user.
        user: Option<String>,
        expiry: u32,
        will: Option<Will>,
    },
    /// Its client has gone at this time, in microseconds since the epoch.
    Offline {
        session: u64,
        since: i64,
        will: Option<Will>,
        expiry: u32,
    },
    /// The session is over.
    Close {
        session: u64,
    },
    Subscribe {
        session: u64,
        filter: String,
        options: Options,
    },
    Unsubscribe {
        session: u64,
        filter: String,
    },
    /// A message waits for these sessions.
    Queue {
        publication: Arc<Publication>,
        targets: Vec<Target>,
    },
    /// A delivery has got its packet id.
    Sent {
        session: u64,
        number: u64,
        id: u16,
    },
    /// The subscriber has it at QoS 2.
    Released {
        session: u64,
        number: u64,
    },
    /// A delivery is over.
    Done {
        session: u64,
        number: u64,
    },
    /// A message from the client at QoS 2 is taken.
    Hold {
        session: u64,
        id: u16,
    },
    /// The client has released it.
    Free {
        session: u64,
        id: u16,
    },
    Retain {
        publication: Arc<Publication>,
    },
    Forget {
        topic: String,
    },
}

/// One session that gets a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) session: u64,
    pub(crate) number: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<NonZeroU32>,
    pub(crate) share: Option<Arc<Share>>,
}

const OPEN: u8 = 1;
const OFFLINE: u8 = 2;
const CLOSE: u8 = 3;
const SUBSCRIBE: u8 = 4;
const UNSUBSCRIBE: u8 = 5;
const QUEUE: u8 = 6;
const SENT: u8 = 7;
const RELEASED: u8 = 8;
const DONE: u8 = 9;
const HOLD: u8 = 10;
const FREE: u8 = 11;
const RETAIN: u8 = 12;
const FORGET: u8 = 13;

/// Appends the entry's bytes.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    match entry {
        Entry::Open {
            session,
            client,
            user,
            expiry,
            will,
        } => {
            tag(OPEN, *session, out);
            put_bytes(client.as_bytes(), out);
            out.push(u8::from(user.is_some()));
            put_bytes(user.as_deref().unwrap_or_default().as_bytes(), out);
            out.extend_from_slice(&expiry.to_le_bytes());
            put_will(will.as_ref(), out);
        }
        Entry::Offline {
            session,
            since,
            will,
            expiry,
        } => {
            tag(OFFLINE, *session, out);
            out.extend_from_slice(&since.to_le_bytes());
            put_will(will.as_ref(), out);
            out.extend_from_slice(&expiry.to_le_bytes());
        }
        Entry::Close { session } => tag(CLOSE, *session, out),
        Entry::Subscribe {
            session,
            filter,
            options,
        } => {
            tag(SUBSCRIBE, *session, out);
            put_bytes(filter.as_bytes(), out);
            let bits = options.qos.value()
                | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3;
            out.push(bits);
            out.extend_from_slice(&options.id.map_or(0, NonZeroU32::get).to_le_bytes());
        }
        Entry::Unsubscribe { session, filter } => {
            tag(UNSUBSCRIBE, *session, out);
            put_bytes(filter.as_bytes(), out);
        }
        Entry::Queue {
            publication,
            targets,
        } => {
            tag(QUEUE, targets.len() as u64, out);
            put_publication(publication, out);
            for target in targets {
                put_target(target, out);
            }
        }
        Entry::Sent {
            session,
            number,
            id,
        } => {
            numbered(SENT, *session, *number, out);
            out.extend_from_slice(&id.to_le_bytes());
        }
        Entry::Released { session, number } => numbered(RELEASED, *session, *number, out),
        Entry::Done { session, number } => numbered(DONE, *session, *number, out),
        Entry::Hold { session, id } => numbered(HOLD, *session, u64::from(*id), out),
        Entry::Free { session, id } => numbered(FREE, *session, u64::from(*id), out),
        Entry::Retain { publication } => {
            tag(RETAIN, 0, out);
            put_publication(publication, out);
        }
        Entry::Forget { topic } => {
            tag(FORGET, 0, out);
            put_bytes(topic.as_bytes(), out);
        }
    }
}

fn tag(tag: u8, number: u64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&number.to_le_bytes());
}

fn numbered(kind: u8, session: u64, number: u64, out: &mut Vec<u8>) {
    tag(kind, session, out);
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_publication(publication: &Publication, out: &mut Vec<u8>) {
    let publish = &publication.publish;
    out.push(publish.qos.value() | u8::from(publish.retain) << 2);
    out.extend_from_slice(&publication.expires.to_le_bytes());
    put_bytes(publish.topic.as_bytes(), out);
    put_bytes(&publish.payload, out);
    let properties = publish.properties.as_ref();
    let json = properties.map(|p| serde_json::to_vec(p).unwrap_or_default());
    put_bytes(&json.unwrap_or_default(), out);
}

fn put_will(will: Option<&Will>, out: &mut Vec<u8>) {
    out.push(u8::from(will.is_some()));
    if let Some(will) = will {
        out.extend_from_slice(&will.delay.to_le_bytes());
        put_publication(&will.publication, out);
    }
}

fn put_target(target: &Target, out: &mut Vec<u8>) {
    out.extend_from_slice(&target.session.to_le_bytes());
    out.extend_from_slice(&target.number.to_le_bytes());
    out.push(
        target.qos.value() | u8::from(target.retain) << 2 | u8::from(target.share.is_some()) << 3,
    );
    out.extend_from_slice(&(target.ids.len() as u32).to_le_bytes());
    for id in &target.ids {
        out.extend_from_slice(&id.get().to_le_bytes());
    }
    if let Some(share) = &target.share {
        put_bytes(share.group.as_bytes(), out);
        put_bytes(share.filter.as_bytes(), out);
    }
}

/// Reads entries one after the other. None at the end, or where the bytes make no sense, which a
/// record whose checksum fits never does.
pub(super) struct Entries {
    bytes: Bytes,
}

impl Entries {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    fn entry(&mut self) -> Option<Entry> {
        let kind = self.u8()?;
        let session = self.u64()?;
        Some(match kind {
            OPEN => Entry::Open {
                session,
                client: self.text()?,
                user: {
                    let some = self.u8()? != 0;
                    Some(self.text()?).filter(|_| some)
                },
                expiry: self.u32()?,
                will: self.will()?,
            },
            OFFLINE => Entry::Offline {
                session,
                since: self.u64()? as i64,
                will: self.will()?,
                expiry: self.u32()?,
            },
            CLOSE => Entry::Close { session },
            SUBSCRIBE => Entry::Subscribe {
                session,
                filter: self.text()?,
                options: self.options()?,
            },
            UNSUBSCRIBE => Entry::Unsubscribe {
                session,
                filter: self.text()?,
            },
            QUEUE => Entry::Queue {
                publication: self.publication()?,
                targets: (0..session).map(|_| self.target()).collect::<Option<_>>()?,
            },
            SENT => Entry::Sent {
                session,
                number: self.u64()?,
                id: self.u16()?,
            },
            RELEASED => Entry::Released {
                session,
                number: self.u64()?,
            },
            DONE => Entry::Done {
                session,
                number: self.u64()?,
            },
            HOLD => Entry::Hold {
                session,
                id: self.u64()? as u16,
            },
            FREE => Entry::Free {
                session,
                id: self.u64()? as u16,
            },
            RETAIN => Entry::Retain {
                publication: self.publication()?,
            },
            FORGET => Entry::Forget {
                topic: self.text()?,
            },
            _ => return None,
        })
    }

    fn options(&mut self) -> Option<Options> {
        let bits = self.u8()?;
        Some(Options {
            qos: qos(bits)?,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            id: NonZeroU32::new(self.u32()?),
        })
    }

    fn publication(&mut self) -> Option<Arc<Publication>> {
        let bits = self.u8()?;
        let expires = self.u64()? as i64;
        let topic = self.text()?;
        let payload = self.take()?;
        let properties = self.take()?;
        let publish = Publish {
            dup: false,
            retain: bits & 4 != 0,
            qos: qos(bits)?,
            topic: topic.into(),
            packet_id: None,
            payload: Bytes::copy_from_slice(&payload),
            properties: serde_json::from_slice(&properties).ok(),
        };
        Some(Arc::new(Publication { publish, expires }))
    }

    fn will(&mut self) -> Option<Option<Will>> {
        if self.u8()? == 0 {
            return Some(None);
        }
        let delay = self.u32()?;
        let publication = self.publication()?;
        Some(Some(Will { publication, delay }))
    }

    fn target(&mut self) -> Option<Target> {
        let session = self.u64()?;
        let number = self.u64()?;
        let bits = self.u8()?;
        let count = self.u32()?;
        let ids = (0..count).map(|_| NonZeroU32::new(self.u32()?));
        let ids = ids.collect::<Option<_>>()?;
        let share = if bits & 8 == 0 {
            None
        } else {
            let group = self.text()?;
            let filter = self.text()?;
            Some(Arc::new(Share { group, filter }))
        };
        Some(Target {
            session,
            number,
            qos: qos(bits)?,
            retain: bits & 4 != 0,
            ids,
            share,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes.first_chunk()?;
        self.bytes = self.bytes.slice(N..);
        Some(array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn take(&mut self) -> Option<Bytes> {
        let len = self.u32()? as usize;
        (len <= self.bytes.len()).then(|| self.bytes.split_to(len))
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.take()?.into()).ok()
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.entry()
    }
}

fn qos(bits: u8) -> Option<QoS> {
    QoS::try_from(bits & 3).ok()
}
