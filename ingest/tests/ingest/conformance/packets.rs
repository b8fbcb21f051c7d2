//! The bytes of packets, put together and taken apart without the broker's own code.

/// The version of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

pub(crate) use Version::{V3, V5};

pub(crate) const BOTH: [Version; 2] = [V3, V5];

pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const UNSUBACK: u8 = 0xb0;
pub(crate) const PINGRESP: u8 = 0xd0;
pub(crate) const DISCONNECT: u8 = 0xe0;

/// A packet with its body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(variable(body.len()));
    bytes.extend(body);
    bytes
}

/// A variable byte integer.
pub(crate) fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        bytes.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return bytes;
        }
    }
}

/// A text or byte string with its length.
pub(crate) fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

/// Properties with their length.
pub(crate) fn properties(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [variable(body.len()), body].concat()
}

/// A property of one byte, and those of other sizes.
pub(crate) fn prop(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[id], value.as_ref()].concat()
}

pub(crate) fn user(key: &str, value: &str) -> Vec<u8> {
    [vec![0x26], text(key), text(value)].concat()
}

/// A CONNECT, field by field.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) props: Vec<Vec<u8>>,
    pub(crate) will: Option<Will>,
}

#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) props: Vec<Vec<u8>>,
}

impl Will {
    pub(crate) fn new(topic: &str, payload: &str) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: 1,
            retain: false,
            props: Vec::new(),
        }
    }
}

impl Connect {
    /// One with a session that ends with the connection.
    pub(crate) fn new(version: Version, id: &str) -> Self {
        Self {
            version,
            id: id.into(),
            clean: true,
            keep_alive: 0,
            props: Vec::new(),
            will: None,
        }
    }

    /// One with a session that stays, and goes on with it.
    pub(crate) fn lasting(version: Version, id: &str) -> Self {
        let mut connect = Self::new(version, id).with(0x11, 300_u32.to_be_bytes());
        connect.clean = false;
        connect
    }

    pub(crate) fn with(mut self, id: u8, value: impl AsRef<[u8]>) -> Self {
        self.props.push(prop(id, value));
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let v5 = self.version == V5;
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        let mut body = text("MQTT");
        body.extend([if v5 { 5 } else { 4 }, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        let all = |props: &[Vec<u8>]| {
            let parts: Vec<&[u8]> = props.iter().map(Vec::as_slice).collect();
            if v5 { properties(&parts) } else { Vec::new() }
        };
        body.extend(all(&self.props));
        body.extend(text(&self.id));
        if let Some(will) = &self.will {
            body.extend(all(&will.props));
            body.extend(text(&will.topic));
            body.extend(text(&will.payload));
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH to send.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) props: Vec<Vec<u8>>,
}

impl Publish {
    /// At the QoS that the packet id implies: 0 for 0, else 1.
    pub(crate) fn new(topic: &str, payload: &str, id: u16) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: u8::from(id > 0),
            id,
            dup: false,
            retain: false,
            props: Vec::new(),
        }
    }

    pub(crate) fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn with(mut self, id: u8, value: impl AsRef<[u8]>) -> Self {
        self.props.push(prop(id, value));
        self
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = text(&self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        if version == V5 {
            let parts: Vec<&[u8]> = self.props.iter().map(Vec::as_slice).collect();
            body.extend(properties(&parts));
        }
        body.extend(&self.payload);
        packet(first, &body)
    }
}

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) first: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) size: usize,
}

/// A PUBLISH from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) props: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    /// The packet id of an acknowledgement.
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }

    /// The reason code of PUBACK, PUBREC, PUBREL and PUBCOMP.
    pub(crate) fn reason(&self) -> u8 {
        self.body.get(2).copied().unwrap_or(0)
    }

    /// The codes of SUBACK and UNSUBACK.
    pub(crate) fn codes(&self, version: Version) -> &[u8] {
        match version {
            V3 => &self.body[2..],
            V5 => {
                assert_eq!(self.body[2], 0, "properties in {self:?}");
                &self.body[3..]
            }
        }
    }
}

impl Delivered {
    pub(super) fn parse(packet: &Packet, version: Version) -> Self {
        assert_eq!(packet.first >> 4, 3, "{packet:?} instead of a PUBLISH");
        let (qos, body) = ((packet.first >> 1) & 3, &packet.body[..]);
        let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + len].to_vec()).unwrap();
        let mut rest = &body[2 + len..];
        let mut id = 0;
        if qos > 0 {
            id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        let mut props = Vec::new();
        if version == V5 {
            (props, rest) = parse_properties(rest);
        }
        Self {
            topic,
            payload: String::from_utf8(rest.to_vec()).unwrap(),
            qos,
            id,
            dup: packet.first & 8 != 0,
            retain: packet.first & 1 != 0,
            props,
        }
    }

    /// The values of a property.
    pub(crate) fn all(&self, id: u8) -> Vec<&[u8]> {
        let found = self.props.iter().filter(|(i, _)| *i == id);
        found.map(|(_, value)| value.as_slice()).collect()
    }
}

/// The properties at the beginning of `bytes`, and the rest.
pub(crate) fn parse_properties(bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, &[u8]) {
    let (len, used) = parse_variable(bytes).unwrap();
    let (mut bytes, rest) = bytes[used..].split_at(len);
    let mut found = Vec::new();
    while let Some((&id, value)) = bytes.split_first() {
        let text_len = |at: usize| 2 + usize::from(u16::from_be_bytes([value[at], value[at + 1]]));
        let len = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21 | 0x22 | 0x23 => 2,
            0x02 | 0x11 | 0x18 | 0x27 => 4,
            0x0b => parse_variable(value).unwrap().1,
            0x26 => text_len(0) + text_len(text_len(0)),
            _ => text_len(0),
        };
        found.push((id, value[..len].to_vec()));
        bytes = &value[len..];
    }
    (found, rest)
}

pub(super) fn parse_variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            assert!(index == 0 || *byte != 0, "a length longer than it need be");
            return Some((value, index + 1));
        }
    }
    None
}

/// A SUBSCRIBE.
pub(crate) fn subscribe(
    version: Version,
    id: u16,
    props: &[&[u8]],
    filters: &[(&str, u8)],
) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == V5 {
        body.extend(properties(props));
    }
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == V5 {
        body.push(0);
    }
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xa2, &body)
}
