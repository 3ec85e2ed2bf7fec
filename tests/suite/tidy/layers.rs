//! Imports point to lower layers.

use super::exceptions::{self, Found};
use super::modules::{Import, imports};
use super::source::files;

/// The layers, highest first. Modules of one layer do not import each other. Every directory of `src/` is listed here
/// or in [`FOUNDATION`]; files of `src/` that are not listed belong to the foundation, below all layers.
const LAYERS: [&[&str]; 9] = [
    &["main"],
    &["commands"],
    &["config"],
    &["http"],
    &["auth"],
    &["hub"],
    &["series"],
    &["kafka", "embedded", "schemas"],
    &["broker"],
];

/// The directories of the lowest layer. Its modules may import each other without cycles.
const FOUNDATION: [&str; 7] = ["cel", "cursor", "logging", "os", "record", "sync", "tls"];

/// Implementations of the `Broker` trait, and the modules that choose one. All other modules use only the trait.
const DRIVERS: [&str; 2] = ["kafka", "embedded"];
const CHOOSE_A_DRIVER: [&str; 3] = ["main", "commands", "config"];

/// Returns the imports that point up a layer, within a layer, or around the `Broker` trait.
pub fn broken(imports: &[Import]) -> Found {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or(LAYERS.len());
    let mut found = Found::new();
    for Import { from, to, location } in imports {
        let (Some(from), Some(to)) = (from.first(), to.first()) else { continue };
        let in_foundation = layer(from) == LAYERS.len() && layer(to) == LAYERS.len();
        let upward = layer(to) <= layer(from) && !in_foundation;
        let around = DRIVERS.contains(to) && !CHOOSE_A_DRIVER.contains(from);
        if from != to && (upward || around) {
            let file = location.split(':').next().unwrap_or(location);
            let locations = found.entry(format!("{file} -> {to}")).or_default();
            if !locations.contains(location) {
                locations.push(location.clone());
            }
        }
    }
    found
}

#[test]
fn imports_point_to_lower_layers() {
    exceptions::check(
        "imports point to lower layers, see tests/suite/tidy/layers.rs",
        "layers.txt",
        &broken(imports()),
    );
}

#[test]
fn every_directory_of_src_has_a_layer() {
    let mut rooms = Vec::new();
    for path in files(&["src"]).iter().filter(|path| path.ends_with(".rs")) {
        let mut words = path.split('/').skip(1);
        if let (Some(room), Some(_)) = (words.next(), words.next()) {
            rooms.push(room.to_owned());
        }
    }
    rooms.dedup();
    let placed: Vec<&str> = LAYERS.iter().copied().flatten().chain(&FOUNDATION).copied().collect();
    let missing: Vec<_> = rooms.iter().filter(|room| !placed.contains(&room.as_str())).collect();
    assert!(missing.is_empty(), "give these directories of src/ a layer in tests/suite/tidy/layers.rs: {missing:?}");
    let gone: Vec<_> = placed.iter().filter(|room| **room != "main" && !rooms.contains(&room.to_string())).collect();
    assert!(gone.is_empty(), "tests/suite/tidy/layers.rs lists directories that are not in src/: {gone:?}");
}

#[test]
fn an_import_up_a_layer_or_around_the_trait_is_found() {
    let broken_by = |from: &'static str, to: &'static str| {
        let import = Import { from: vec![from], to: vec![to, "inner"], location: format!("src/{from}.rs:7") };
        broken(&[import]).into_keys().next()
    };
    let ways = [("kafka", "hub"), ("embedded", "kafka"), ("record", "broker"), ("http", "kafka"), ("hub", "embedded")];
    for (from, to) in ways {
        assert_eq!(broken_by(from, to), Some(format!("src/{from}.rs -> {to}")));
    }
    for (from, to) in [("http", "hub"), ("kafka", "broker"), ("config", "kafka"), ("cursor", "record"), ("hub", "hub")]
    {
        assert_eq!(broken_by(from, to), None, "{from} -> {to}");
    }
}
