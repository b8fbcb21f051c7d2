//! One version of each library whose types cross the crates.

use crate::harness::checkout;

#[test]
fn the_lock_file_holds_one_version_of_what_must_be_one() {
    let lock = std::fs::read_to_string(checkout().join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    for name in [
        "arrow",
        "arrow-array",
        "parquet",
        "datafusion",
        "object_store",
        "iceberg",
    ] {
        let found: Vec<_> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .map(|package| package["version"].as_str().unwrap())
            .collect();
        assert_eq!(
            found.len(),
            1,
            "{name} {found:?}: `cargo tree -i {name}` tells who asks for it"
        );
    }
}
