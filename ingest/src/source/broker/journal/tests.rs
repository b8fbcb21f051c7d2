use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use rmqtt_codec::types::{Publish, QoS};

use super::file::Mark;
use super::*;
use crate::source::broker::publication::Publication;
use crate::source::broker::router::{Options, Share};
use crate::source::broker::session::Will;

fn publication(payload: &str) -> Arc<Publication> {
    let mut publish = Publish {
        dup: false,
        retain: true,
        qos: QoS::ExactlyOnce,
        topic: format!("t/{}", payload.len()).into(),
        packet_id: None,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        properties: None,
    };
    if payload.len() % 2 == 1 {
        let properties = publish.properties.get_or_insert_default();
        properties.user_properties = vec![("k".into(), payload.into())];
        properties.correlation_data = Some(Bytes::from_static(b"\0\xff"));
    }
    Arc::new(Publication::new(&publish))
}

fn entries() -> impl Strategy<Value = Entry> {
    let session = 1..4_u64;
    (0..13, session, 1..6_u64, "[a-z]{0,3}").prop_map(|(kind, session, number, text)| {
        let will = (number == 1).then(|| Will {
            publication: publication(&text),
            delay: 7,
        });
        let share = Arc::new(Share {
            group: "g".into(),
            filter: text.clone(),
        });
        let target = Target {
            session,
            number,
            qos: QoS::AtLeastOnce,
            retain: number == 2,
            ids: vec![9.try_into().unwrap()],
            share: (number > 2).then_some(share),
        };
        let options = Options {
            qos: QoS::ExactlyOnce,
            no_local: number == 1,
            retain_as_published: number == 2,
            id: std::num::NonZeroU32::new(number as u32 - 1),
        };
        let client = text.clone();
        let id = number as u16;
        match kind {
            0 | 1 => Entry::Open {
                session,
                client,
                user: (number > 3).then(|| "alice".to_owned()),
                expiry: 60,
                will,
            },
            2 => Entry::Offline {
                session,
                since: 5,
                will,
                expiry: 9,
            },
            3 => Entry::Close { session },
            4 => Entry::Subscribe {
                session,
                filter: text,
                options,
            },
            5 => Entry::Unsubscribe {
                session,
                filter: text,
            },
            6 => Entry::Queue {
                publication: publication(&text),
                targets: vec![target],
            },
            7 => Entry::Sent {
                session,
                number,
                id,
            },
            8 => Entry::Released { session, number },
            9 => Entry::Done { session, number },
            10 => Entry::Hold { session, id },
            11 => Entry::Free { session, id },
            _ if number > 3 => Entry::Forget {
                topic: publication(&text).topic().into(),
            },
            _ => Entry::Retain {
                publication: publication(&text),
            },
        }
    })
}

fn model(entries: &[Entry]) -> Model {
    let mut model = Model::default();
    entries.iter().cloned().for_each(|entry| model.apply(entry));
    model
}

proptest! {
    #[test]
    fn entries_come_back_and_a_snapshot_says_the_same(entries in prop::collection::vec(entries(), 1..40)) {
        let mark = Mark::random();
        let mut bytes = file::start(mark);
        for entry in &entries {
            file::encode(mark, std::slice::from_ref(entry), &mut bytes);
        }
        let replayed = file::replay(&bytes.into());
        let expected = model(&entries);
        prop_assert!(replayed.losses.is_empty());
        prop_assert_eq!(&replayed.model, &expected);
        prop_assert_eq!(model(&expected.entries()), expected);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = entry::Entries::new(bytes.clone()).count();
        let _ = file::replay(&bytes);
    }

    #[test]
    fn a_torn_tail_is_cut_at_a_record(cut in 0..60_usize) {
        let mark = Mark::random();
        let mut bytes = file::start(mark);
        let open = |session| Entry::Open { session, client: "c".into(), user: None, expiry: 1, will: None };
        file::encode(mark, &[open(1)], &mut bytes);
        let first = bytes.len();
        file::encode(mark, &[open(2), open(3)], &mut bytes);
        let cut = bytes.len().saturating_sub(1 + cut).max(16);
        bytes.truncate(cut);
        let found = file::replay(&bytes.into());
        prop_assert_eq!(found.model.sessions.len(), usize::from(cut >= first));
        prop_assert!(found.losses.is_empty());
    }
}

fn open(session: u64) -> Entry {
    Entry::Open {
        session,
        client: format!("client-{session}"),
        user: None,
        expiry: 60,
        will: None,
    }
}

async fn durable(journal: &Journal, sequence: u64) {
    let mut durable = journal.durable();
    durable.wait_for(|last| *last >= sequence).await.unwrap();
}

#[tokio::test]
async fn a_reopened_journal_has_what_was_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, before) = Journal::open(folder.path()).unwrap();
    assert_eq!(before, Model::default());
    let hold = Entry::Hold { session: 1, id: 7 };
    let sequence = journal.append(vec![open(1), hold]);
    durable(&journal, sequence).await;
    drop(journal);
    let (_journal, model) = Journal::open(folder.path()).unwrap();
    assert!(model.sessions[&1].held.contains(&7));
}

#[tokio::test]
async fn damage_in_the_middle_costs_only_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    for session in 1..=3 {
        let sequence = journal.append(vec![open(session)]);
        durable(&journal, sequence).await;
    }
    drop(journal);
    let path = file::path(folder.path(), 1);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let mut record = Vec::new();
    file::encode(Mark::random(), &[open(1)], &mut record);
    file.seek(SeekFrom::Start(16 + record.len() as u64 + 18))
        .unwrap();
    file.write_all(b"!").unwrap();
    let found = file::open(folder.path()).unwrap();
    assert_eq!(found.losses, vec![16 + record.len()..16 + 2 * record.len()]);
    assert!(found.model.sessions.keys().eq([&1, &3]));
}

#[tokio::test]
async fn a_journal_that_has_grown_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    journal.append(vec![open(1)]);
    let large = "x".repeat(1 << 20);
    let mut sequence = 0;
    for _ in 0..64 {
        sequence = journal.append(vec![Entry::Retain {
            publication: publication(&large),
        }]);
    }
    durable(&journal, sequence).await;
    drop(journal);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    let size = files[0].as_ref().unwrap().metadata().unwrap().len();
    assert!(size < 24 << 20, "{size}");
    let (_journal, model) = Journal::open(folder.path()).unwrap();
    assert_eq!((model.sessions.len(), model.retained.len()), (1, 1));
}

#[test]
fn a_record_within_a_payload_is_not_one() {
    let mark = Mark::random();
    let mut forged = Vec::new();
    for guess in [Mark::random(), Mark::random()] {
        file::encode(guess, &[open(666)], &mut forged);
    }
    let mut publish = publication("x").publish.clone();
    publish.payload = forged.into();
    let retain = Entry::Retain {
        publication: Arc::new(Publication::new(&publish)),
    };
    let mut bytes = file::start(mark);
    file::encode(mark, &[open(1)], &mut bytes);
    let whole = bytes.len();
    file::encode(mark, &[retain], &mut bytes);
    bytes.truncate(bytes.len() - 1);
    let found = file::replay(&bytes.into());
    assert!(found.losses.is_empty());
    assert_eq!(found.bytes, whole as u64);
    assert!(found.model.sessions.keys().eq([&1]));
}

#[test]
fn a_damaged_header_costs_nothing() {
    let mark = Mark::random();
    let mut bytes = file::start(mark);
    bytes[12] ^= 1;
    file::encode(mark, &[open(1)], &mut bytes);
    file::encode(mark, &[open(2)], &mut bytes);
    let found = file::replay(&bytes.into());
    assert_eq!((found.model.sessions.len(), found.losses.len()), (2, 0));
}

/// The scan for a record after damage is linear: this would take hours if it were not.
#[test]
fn much_damage_is_passed_over_at_once() {
    let mark = Mark::random();
    let mut bytes = file::start(mark);
    // Lengths that fit everywhere.
    bytes.resize(8 << 20, 1);
    let damage = bytes.len();
    file::encode(mark, &[open(1)], &mut bytes);
    let found = file::replay(&bytes.into());
    assert_eq!(found.losses, vec![16..damage]);
    assert_eq!(found.model.sessions.len(), 1);
}

#[tokio::test]
async fn a_disk_that_fails_does_not_keep_a_journal_from_closing() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(folder.path()).unwrap();
    drop(folder);
    let sequence = journal.append(vec![open(1)]);
    assert!(sequence > *journal.durable().borrow());
    let closed = tokio::task::spawn_blocking(move || {
        journal.close();
        journal
    });
    let journal = tokio::time::timeout(std::time::Duration::from_secs(60), closed);
    let journal = journal.await.expect("closed in time").unwrap();
    assert_eq!(*journal.durable().borrow(), 0);
}
