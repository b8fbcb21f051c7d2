//! Writers that slept while entries were collected.

use chrono::Utc;

use super::*;
use crate::model::CommitId;

fn to(name: &str) -> Move {
    Move {
        kind: RefKind::Branch,
        commit: Some(CommitId::of(name.as_bytes())),
        protected: false,
        time: Utc::now(),
        author: "ada".into(),
        action: name.into(),
    }
}

/// Publishes `count` entries after what is there.
async fn publish(refs: &Refs, count: usize) {
    for i in 0..count {
        let latest = refs.latest("main").await.unwrap();
        let change = to(&i.to_string());
        assert!(refs.publish("main", latest.as_ref(), change).await.unwrap());
    }
}

async fn collect(store: &Store, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let path = entry_path("main", number);
        store.object_store().delete(&path).await.unwrap();
    }
}

/// A catalog whose process saw entry 3 as the newest and then slept for an hour.
async fn asleep() -> (Store, Refs, Position) {
    let store = Store::memory();
    let refs = Refs::new(store.clone());
    publish(&refs, 3).await;
    let seen = Seen::long_ago();
    let known = refs.known("main").unwrap();
    let known = Position { seen, ..known };
    refs.lock().insert("main".into(), known.clone());
    (store, refs, known)
}

#[tokio::test]
async fn a_reader_that_slept_finds_the_newest_entry_beyond_collected_ones() {
    let (store, refs, _) = asleep().await;
    publish(&Refs::new(store.clone()), 5).await;
    collect(&store, 1..=6).await;
    assert_eq!(refs.latest("main").await.unwrap().unwrap().number, 8);
}

#[tokio::test]
async fn a_writer_that_slept_does_not_write_a_collected_number_again() {
    let (store, refs, known) = asleep().await;
    let others = Refs::new(store.clone());
    publish(&others, 5).await;
    collect(&store, 1..=6).await;
    let won = refs.publish("main", Some(&known), to("late")).await;
    assert!(
        !won.unwrap(),
        "entry 4 was collected, so this race was lost"
    );
    assert_eq!(
        others.read("main", 4).await.unwrap(),
        None,
        "it is taken back"
    );
    assert_eq!(refs.latest("main").await.unwrap().unwrap().number, 8);
}

#[tokio::test]
async fn a_writer_that_slept_alone_has_won() {
    let (_, refs, known) = asleep().await;
    let won = refs.publish("main", Some(&known), to("late")).await;
    assert!(won.unwrap());
    assert_eq!(refs.latest("main").await.unwrap().unwrap().number, 4);
}

/// A deleted ref's log can be collected whole and begin anew: the entry of that number is then
/// another one.
#[tokio::test]
async fn a_writer_that_slept_does_not_go_on_with_another_log() {
    let (store, refs, known) = asleep().await;
    collect(&store, 1..=3).await;
    publish(&Refs::new(store.clone()), 3).await;
    let won = refs.publish("main", Some(&known), to("late")).await;
    assert!(!won.unwrap());
    assert_eq!(refs.latest("main").await.unwrap().unwrap().number, 3);
}

/// A folder is listed name by name, so no folder may hold many.
#[tokio::test]
async fn no_folder_holds_many_entries() {
    let store = Store::memory();
    publish(&Refs::new(store.clone()), 300).await;
    let objects = store.object_store();
    let mut open = vec![ref_folder("main")];
    let mut entries = 0;
    while let Some(folder) = open.pop() {
        let listed = objects.list_with_delimiter(Some(&folder)).await.unwrap();
        assert!(listed.objects.len() + listed.common_prefixes.len() <= 64);
        entries += listed.objects.len();
        open.extend(listed.common_prefixes);
    }
    assert_eq!(entries, 300);
}

#[tokio::test]
async fn a_foreign_file_does_not_hide_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::StoreConfig {
        url: folder.path().to_str().unwrap().to_owned(),
        ..crate::StoreConfig::default()
    };
    let local = Store::open(&config).await.unwrap();
    for store in [Store::memory(), local] {
        publish(&Refs::new(store.clone()), 3).await;
        for name in [".keep", "0.json", "0000000000000001/notes.txt"] {
            let path = Path::from(format!("_catalog/refs/main/{name}"));
            store.object_store().put(&path, "x".into()).await.unwrap();
        }
        let newest = Refs::new(store).latest("main").await.unwrap();
        assert_eq!(newest.unwrap().number, 3);
    }
}
