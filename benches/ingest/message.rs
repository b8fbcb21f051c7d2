//! What the pumps of the benchmark send: packets made once, patched and sent again and again.
//!
//! Making a message costs more than sending one, and the sender shares the machine with what is
//! measured. So a ring of whole PUBLISH packets (MQTT 3.1.1, section 3.3) is made beforehand; before
//! a packet goes out again, only its packet id, time and number are written anew.

/// Packets that differ; a multiple of the pumps, so that each keeps its topic.
const RING: usize = 4_000;
const PUMPS: usize = 50;
/// The time of the first message, in milliseconds: 26 October 2026.
const FIRST_TIME: u64 = 1_793_000_000_000;
/// The number of the first message; all have as many digits.
const FIRST_NUMBER: u64 = 10_000_000_000;
/// The number of the first probe: above all others, so that a file's greatest number tells
/// whether a probe can be in it, as times do in real data.
pub(crate) const FIRST_PROBE: u64 = 80_000_000_000;

/// PUBLISH packets of equal length at QoS 1.
pub(crate) struct Ring {
    bytes: Vec<u8>,
    packet: usize,
    next: usize,
    id_at: usize,
    time_at: usize,
    number_at: usize,
}

impl Ring {
    /// Packets to the topics `{prefix}/pNN/telemetry`.
    pub(crate) fn new(prefix: &str, publisher: u64) -> Self {
        let mut chance = Chance(publisher + 1);
        let mut bytes = Vec::new();
        let mut payload_at = 0;
        for n in 0..RING {
            let topic = format!("{prefix}/p{:02}/telemetry", n % PUMPS);
            let payload = payload(publisher, &mut chance);
            let packet = publish_packet(&topic, payload.as_bytes());
            payload_at = packet.len() - payload.len();
            bytes.extend(packet);
        }
        let packet = bytes.len() / RING;
        let at = |field: &str| {
            let mut places = bytes[..packet].windows(field.len());
            places.position(|w| w == field.as_bytes()).unwrap_or(0) + field.len()
        };
        Self {
            id_at: payload_at - 2,
            time_at: at("\"ts\":"),
            number_at: at("\"seq\":"),
            bytes,
            packet,
            next: 0,
        }
    }

    /// Bytes of one payload.
    pub(crate) fn payload_bytes() -> usize {
        payload(0, &mut Chance(1)).len()
    }

    /// The bytes of up to `most` packets, at least one, and how many: the first has this `id` and
    /// `number`, those after it the following.
    pub(crate) fn packets(&mut self, most: u64, id: &mut u16, number: u64) -> (&[u8], u64) {
        let count = most.clamp(1, (RING - self.next) as u64);
        let start = self.next * self.packet;
        let end = start + count as usize * self.packet;
        let packets = &mut self.bytes[start..end];
        for (n, packet) in packets.chunks_exact_mut(self.packet).enumerate() {
            *id = id.checked_add(1).unwrap_or(1);
            packet[self.id_at..self.id_at + 2].copy_from_slice(&id.to_be_bytes());
            let number = number + n as u64;
            put_digits(
                &mut packet[self.time_at..self.time_at + 13],
                FIRST_TIME + number,
            );
            put_digits(
                &mut packet[self.number_at..self.number_at + 11],
                FIRST_NUMBER + number,
            );
        }
        self.next = (self.next + count as usize) % RING;
        (&self.bytes[start..end], count)
    }
}

/// 200 bytes of JSON; the values vary within the resolution of a pump's instruments.
fn payload(publisher: u64, chance: &mut Chance) -> String {
    format!(
        r#"{{"ts":{FIRST_TIME},"seq":{FIRST_NUMBER},"publisher":{publisher},"pressure_bar":4.{:03},"flow_m3h":31.{:03},"vibration_mm_s":2.{:03},"temperature_c":5{}.{:02},"current_a":17.{:02},"running":true,"fault":"none","fw":"4.11.2"}}"#,
        chance.below(500) + 400,
        chance.below(1_000),
        chance.below(400) + 100,
        chance.below(3) + 4,
        chance.below(100),
        chance.below(100),
    )
}

fn put_digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn publish_packet(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
    put_string(&mut body, topic);
    body.extend([0, 1]);
    body.extend(payload);
    packet(0x32, &body)
}

/// One PUBLISH with this packet id, time and `seq`, to the topic of the pump `probe`.
pub(crate) fn probe(prefix: &str, id: u16, number: u64) -> Vec<u8> {
    let time = FIRST_TIME + number;
    let mut body = Vec::new();
    put_string(&mut body, &format!("{prefix}/probe/telemetry"));
    body.extend(id.to_be_bytes());
    body.extend(format!(r#"{{"ts":{time},"seq":{}}}"#, FIRST_PROBE + number).bytes());
    packet(0x32, &body)
}

pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

pub(crate) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut rest = body.len();
    loop {
        let byte = (rest % 128) as u8;
        rest /= 128;
        out.push(if rest > 0 { byte | 0x80 } else { byte });
        if rest == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

/// Repeatable numbers without a pattern: a linear congruential generator (Knuth's MMIX).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
