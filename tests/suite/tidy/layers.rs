//! Imports run down the layers.

use super::exceptions::{self, Found};
use super::modules::{Import, imports};
use super::source::files;

/// From the top down. Modules of one layer do not import each other. Every folder of `src/` is here; a file of `src/` that
/// is not belongs to [`FOUNDATION`], below all of these.
const LAYERS: [&[&str]; 8] =
    [&["main"], &["commands"], &["config"], &["http"], &["auth"], &["hub"], &["kafka", "embedded"], &["broker"]];

/// The folders of the lowest layer. Its modules may import each other, as long as there is no circle.
const FOUNDATION: [&str; 7] = ["cel", "cursor", "logging", "os", "record", "sync", "tls"];

/// Implementations of the `Broker` trait, and the modules that choose one. All others see only the trait.
const DRIVERS: [&str; 2] = ["kafka", "embedded"];
const CHOOSE_A_DRIVER: [&str; 3] = ["main", "commands", "config"];

/// Imports that run up a layer, within one, or around the `Broker` trait.
pub fn broken(imports: &[Import]) -> Found {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or(LAYERS.len());
    let mut found = Found::new();
    for Import { from, to, place } in imports {
        let (Some(from), Some(to)) = (from.first(), to.first()) else { continue };
        let in_foundation = layer(from) == LAYERS.len() && layer(to) == LAYERS.len();
        let upward = layer(to) <= layer(from) && !in_foundation;
        let around = DRIVERS.contains(to) && !CHOOSE_A_DRIVER.contains(from);
        if from != to && (upward || around) {
            let file = place.split(':').next().unwrap_or(place);
            let places = found.entry(format!("{file} -> {to}")).or_default();
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
    }
    found
}

#[test]
fn imports_run_down_the_layers() {
    exceptions::check("imports run down the layers of tests/suite/tidy/layers.rs", "layers.txt", &broken(imports()));
}

#[test]
fn every_room_has_its_layer() {
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
    assert!(missing.is_empty(), "give these folders of src/ a layer in tests/suite/tidy/layers.rs: {missing:?}");
    let gone: Vec<_> = placed.iter().filter(|room| **room != "main" && !rooms.contains(&room.to_string())).collect();
    assert!(gone.is_empty(), "tests/suite/tidy/layers.rs places folders that are not in src/: {gone:?}");
}

#[test]
fn an_import_up_a_layer_or_around_the_trait_is_found() {
    let broken_by = |from: &'static str, to: &'static str| {
        let import = Import { from: vec![from], to: vec![to, "inner"], place: format!("src/{from}.rs:7") };
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
