//! A swarm of odd messages: whatever comes becomes rows or one dead letter, and is counted.
//!
//! `PUMPHOUSE_TEST_MESSAGES=1000000` makes it a million; a tenth of that, by default, is what an
//! unoptimised build decodes in seconds. `PUMPHOUSE_TEST_SEED` says which; it is printed.

use bytes::Bytes;
use prost::Message as _;

use crate::decode::compression::tests::{gzipped, zstd_of};
use crate::decode::sparkplug::tests::samples;
use crate::fuzzing::{Judge, replay};

/// Messages by default.
const MESSAGES: u64 = 100_000;
/// Messages of one decoder: field names made from noise would fill its tables.
const LIFE: u64 = 1_000;
/// Messages between batches.
const GROUP: u64 = 250;

const JSON: &[&str] = &[
    r#"{"ts":"2020-03-09T10:15:15.25Z","flow":3.5,"n":12,"on":true,"mode":"auto"}"#,
    r#"{"ts":1583748915250,"v":{"temp":1,"l":[1,2,null],"m":{"x":"y"}},"d":"2020-03-09"}"#,
    r#"[{"n":1,"i":2},{"n":3,"f":1.5},{"at":"2020-03-09 10:15:15"}]"#,
    r#"{"spectrum":[{"hz":50,"a":0.1},{"hz":100}],"site":"a","none":null,"e":[],"o":{}}"#,
    r#"{"i":-1e3,"big":123456789012345678901234567890,"text":"\u00e4\ud83d\ude00\\"}"#,
];
const CSV: &[&str] = &[
    "1583748915250,1.5,7,x\n2020-03-09T10:15:15Z,,-7,\"a,\"\"b\"\"\n",
    "1583748915,true,,\r\n,,,\r\n",
];
const HEADED: &[&str] = &[
    "ts,v,n,id\n1583748915250,1.5,7,007\n,,,\n",
    "a,b,at\n1,\"x\ny\",2020-03-09 10:15:15\n",
];
const LINES: &[&str] = &[
    "pump,rotor=a\\ b flow=1.5,n=7i,u=5u,on=t,mode=\"x \\\"y\\\"\" 1583748915250000000\n",
    "# comment\nmotor temp=71,f=1e5\nmotor,k=v i=3i -5",
];
const TOKENS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "\\u0000",
    "\\",
    "1e999",
    "-0",
    "9223372036854775808",
    "18446744073709551616",
    "0.1e-400",
    "nan",
    "\n",
    "\r\n",
    "=",
    " ",
    "#",
    "i",
    "ts",
    "\u{feff}",
    "\0",
    "10000-01-01T00:00:00Z",
    "\"a.b\":",
    "\"\":",
    "\u{1f600}",
    "\x7f",
];

/// A small generator (xorshift64*), so that a seed gives the same swarm everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}

fn mutate(dice: &mut Dice, payload: &mut Vec<u8>) {
    let at = dice.below(payload.len() + 1);
    let end = (at + dice.below(9)).min(payload.len());
    match dice.below(7) {
        0 if at < payload.len() => payload[at] ^= 1 << dice.below(8),
        1 if at < payload.len() => payload[at] = dice.next() as u8,
        2 => drop(payload.drain(at..end)),
        3 => payload.truncate(at),
        4 => {
            let again = payload[at..end].to_vec();
            payload.splice(at..at, again);
        }
        5 => drop(payload.splice(at..at, dice.bytes(9))),
        _ => drop(payload.splice(at..at, dice.pick(TOKENS).bytes())),
    }
}

fn text(dice: &mut Dice, samples: &[&str]) -> Vec<u8> {
    if dice.one_in(400) {
        let depth = dice.below(300);
        return ["{\"a\":", "[", "{\"a\":["][dice.below(3)]
            .repeat(depth)
            .into_bytes();
    }
    let mut payload = dice.pick(samples).as_bytes().to_vec();
    if dice.one_in(20) {
        payload.extend_from_slice(dice.pick(samples).as_bytes());
    }
    payload
}

fn message(dice: &mut Dice, births: &[(&'static str, Bytes)]) -> (Vec<u8>, Vec<u8>) {
    let (mut topic, mut payload) = match dice.below(10) {
        0..=2 => (b"j/a/b".to_vec(), text(dice, JSON)),
        3 => (b"n/a/b".to_vec(), text(dice, JSON)),
        4 => (b"c/a/b".to_vec(), text(dice, CSV)),
        5 => (b"h/a/b".to_vec(), text(dice, HEADED)),
        6 => (b"l/a/b".to_vec(), text(dice, LINES)),
        _ => {
            let (topic, payload) = &births[dice.below(births.len())];
            (topic.as_bytes().to_vec(), payload.to_vec())
        }
    };
    let changes = [0, 0, 1, 2, 4][dice.below(5)];
    for _ in 0..changes {
        mutate(dice, &mut payload);
    }
    match dice.below(40) {
        0 => payload = dice.bytes(60),
        1 => payload = gzipped(&payload),
        2 => payload = zstd_of(&payload),
        3 => {
            payload = gzipped(&payload);
            mutate(dice, &mut payload);
        }
        4 => {
            payload = zstd_of(&payload);
            mutate(dice, &mut payload);
        }
        5 => mutate(dice, &mut topic),
        6 => topic = dice.bytes(20),
        _ => {}
    }
    (topic, payload)
}

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

#[test]
fn odd_messages_are_rows_or_dead_letters() {
    let messages = setting("PUMPHOUSE_TEST_MESSAGES", MESSAGES);
    let seed = setting("PUMPHOUSE_TEST_SEED", 20_261_121);
    println!("PUMPHOUSE_TEST_SEED={seed}");
    let mut dice = Dice(seed.max(1));
    let births = samples();
    let births: Vec<(&str, Bytes)> = births
        .iter()
        .map(|(topic, payload)| (*topic, Bytes::from(payload.encode_to_vec())))
        .collect();
    let mut judge = Judge::default();
    let (mut good, mut rows, mut dead_letters) = (0, 0, 0);
    for n in 1..=messages {
        let (topic, payload) = message(&mut dice, &births);
        good += u64::from(judge.decode(&topic, &payload));
        if n % GROUP == 0 || n == messages {
            let (more, dead) = judge.finish();
            rows += more as u64;
            dead_letters += dead as u64;
        }
        if n % LIFE == 0 {
            judge = Judge::default();
        }
    }
    println!("{messages} messages: {good} are {rows} rows, {dead_letters} are dead letters");
    assert_eq!(good + dead_letters, messages);
    assert!(rows >= good && good > messages / 5 && dead_letters > messages / 5);
}

#[test]
fn replay_invents_nothing_and_loses_nothing_before_damage() {
    let seed = setting("PUMPHOUSE_TEST_SEED", 20_261_121);
    println!("PUMPHOUSE_TEST_SEED={seed}");
    let mut dice = Dice(seed.max(1));
    for _ in 0..20_000 {
        replay(&dice.bytes(80));
    }
}
