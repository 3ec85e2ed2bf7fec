//! Every dependency in Cargo.toml is used.

use super::source::{files, names, sources, text};
use std::collections::BTreeSet;

/// Returns the names in a section of Cargo.toml.
fn dependencies(section: &str) -> BTreeSet<String> {
    let manifest = text("Cargo.toml").unwrap();
    let start = manifest.find(&format!("\n[{section}]\n")).unwrap();
    manifest[start + 1..]
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.trim_matches('"').to_owned())
        .collect()
}

fn unused(section: &str, code: &str) -> Vec<String> {
    let used = |name: &String| names(code, &format!("{}::", name.replace('-', "_")));
    dependencies(section).into_iter().filter(|name| !used(name)).collect()
}

#[test]
fn every_dependency_is_used() {
    let lines: Vec<&str> = sources().flat_map(|s| &s.lines).map(|(_, line)| *line).collect();
    assert_eq!(unused("dependencies", &lines.join("\n")), [""; 0], "in src/");
    let all: String = files(&["src", "tests"]).iter().filter(|f| f.ends_with(".rs")).filter_map(|f| text(f)).collect();
    assert_eq!(unused("dev-dependencies", &all), [""; 0], "in tests");
}
