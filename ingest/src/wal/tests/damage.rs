//! Every byte of a small log flipped, every length cut, every file missing: nothing is invented,
//! everything before the damage comes back, and what is lost is told with its place.

use super::*;

const RECORDS: usize = 6;

/// A log of six records in one segment, or of two in each of three, and its folder.
async fn written(segment_bytes: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open(LogOptions {
        segment_bytes,
        ..options(dir.path())
    });
    for n in 0..RECORDS {
        put(&log, vec![message(n as u16 + 1, &n.to_string())]).await;
    }
    dir
}

const ONE_SEGMENT: u64 = 1 << 20;

fn two_a_segment() -> u64 {
    (header::BYTES + 2 * record_bytes("0")) as u64
}

/// What is read, up to a record logged now; and what is told as lost.
async fn survivors(dir: &Path) -> (Vec<(u64, String)>, Vec<Loss>) {
    let log = open(options(dir));
    put(&log, vec![message(7, "after")]).await;
    let (mut found, mut reader) = (Vec::new(), log.reader());
    while found.last().is_none_or(|(_, text)| text != "after") {
        found.extend(read(&mut reader, 1).await);
    }
    found.pop();
    for (position, text) in &found {
        assert_eq!((position - 1).to_string(), *text, "a record nobody wrote");
    }
    (found, log.losses().to_vec())
}

#[tokio::test]
async fn one_changed_byte_costs_at_most_its_record_and_is_told_with_its_place() {
    let master = written(ONE_SEGMENT).await;
    let whole = fs::read(segment_file(master.path())).unwrap();
    for at in 0..whole.len() {
        for change in [1_u8, 0x80, 0xff] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            fs::write(segment::path(dir.path(), 1), &bytes).unwrap();
            let (found, losses) = survivors(dir.path()).await;
            let what = format!("byte {at} changed by {change}: {losses:?}");
            let hit = at
                .checked_sub(header::BYTES)
                .map(|at| at / record_bytes("0"));
            let kept: Vec<u64> = (0..RECORDS)
                .filter(|n| Some(*n) != hit)
                .map(|n| n as u64 + 1)
                .collect();
            let positions: Vec<u64> = found.iter().map(|(position, _)| *position).collect();
            assert_eq!(positions, kept, "{what}");
            let Some(hit) = hit else {
                assert!(losses.is_empty(), "{what}");
                continue;
            };
            let offset = header::BYTES + hit * record_bytes("0");
            let told = losses
                .iter()
                .any(|l| (l.from, l.to, l.offset) == (hit as u64 + 1, hit as u64 + 1, offset));
            // The length of the last record may now reach beyond the file, like a torn one's.
            let torn = hit == RECORDS - 1 && at < offset + 4;
            assert!(told || torn, "{what}");
        }
    }
}

#[tokio::test]
async fn a_segment_cut_anywhere_gives_everything_before_the_cut() {
    let master = written(ONE_SEGMENT).await;
    let whole = fs::read(segment_file(master.path())).unwrap();
    for len in 0..whole.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment::path(dir.path(), 1), &whole[..len]).unwrap();
        let (found, losses) = survivors(dir.path()).await;
        let expected = len.saturating_sub(header::BYTES) / record_bytes("0");
        assert_eq!(found.len(), expected, "cut at {len}");
        assert!(losses.is_empty(), "cut at {len}: {losses:?}");
    }
}

#[tokio::test]
async fn a_middle_segment_cut_anywhere_is_told() {
    for len in 0..two_a_segment() as usize {
        let dir = written(two_a_segment()).await;
        let middle = segment::path(dir.path(), 3);
        let bytes = fs::read(&middle).unwrap();
        fs::write(&middle, &bytes[..len]).unwrap();
        let (found, losses) = survivors(dir.path()).await;
        let kept = len.saturating_sub(header::BYTES) / record_bytes("0");
        assert_eq!(found.len(), RECORDS - 2 + kept, "cut at {len}");
        let loss = &losses[..];
        assert!(
            matches!(loss, [l] if (l.from, l.to) == (3 + kept as u64, 4) && l.acknowledged),
            "cut at {len}: {losses:?}"
        );
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_is_told() {
    let dir = written(two_a_segment()).await;
    fs::remove_file(segment::path(dir.path(), 3)).unwrap();
    let (found, losses) = survivors(dir.path()).await;
    assert_eq!(found.len(), RECORDS - 2);
    let told = losses[0].to_string();
    assert!(told.contains("positions 3 to 4 are lost"), "{told}");
    assert!(told.contains(&segment::path(dir.path(), 1).display().to_string()));
    // It is told once: what follows knows of it.
    drop(dir);
}

#[tokio::test]
async fn a_log_that_lacks_its_beginning_knows_where_it_began() {
    let dir = written(two_a_segment()).await;
    assert_eq!(open(options(dir.path())).before(), Some(0));
    fs::remove_file(segment::path(dir.path(), 1)).unwrap();
    let log = open(options(dir.path()));
    assert_eq!((log.before(), log.losses().len()), (Some(2), 0));
}

#[tokio::test]
async fn positions_skipped_after_a_torn_tail_are_not_told_as_lost() {
    let dir = written(ONE_SEGMENT).await;
    let file = segment_file(dir.path());
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    for _ in 0..3 {
        let log = open(options(dir.path()));
        assert!(log.losses().is_empty());
        put(&log, vec![message(9, "next")]).await;
    }
}

#[tokio::test]
async fn a_log_of_the_first_version_is_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = b"PHWAL001".to_vec();
    for n in 0..3_u64 {
        record::encode(n + 1, &message(1, &n.to_string()), &mut bytes);
    }
    fs::write(segment::path(dir.path(), 1), &bytes).unwrap();
    let (found, losses) = survivors(dir.path()).await;
    assert_eq!((found.len(), losses.len()), (3, 0));
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_that_is_read_or_told() {
    // What a failed write may leave behind its last good record: whole and torn records whose
    // positions the next segment has again.
    for remains in 0..2 * record_bytes("x") {
        let dir = written(two_a_segment()).await;
        let first = segment::path(dir.path(), 1);
        let mut bytes = fs::read(&first).unwrap();
        let mut failed = Vec::new();
        record::encode(3, &message(3, "x"), &mut failed);
        record::encode(4, &message(4, "y"), &mut failed);
        bytes.extend_from_slice(&failed[..remains]);
        fs::write(&first, &bytes).unwrap();
        let (found, losses) = survivors(dir.path()).await;
        assert_eq!((found.len(), losses.len()), (RECORDS, 0), "{remains}");
    }
}
