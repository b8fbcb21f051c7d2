//! The demo runs to its end and leaves a lake to explore.

use crate::harness::Site;

#[test]
fn the_demo_shows_the_whole_path() {
    let site = Site::new();
    let folder = site.path("demo");
    let finished = site.pumphouse(&["demo", "--fast", "--dir", folder.to_str().unwrap()]);
    let said = finished.ok().to_lowercase();
    for part in ["rows", "branch", "train", "merge", "predict", "next"] {
        assert!(
            said.contains(part),
            "the demo shows no {part:?}:\n{finished}"
        );
    }
    assert!(folder.is_dir());
}
