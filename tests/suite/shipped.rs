//! The dependencies of the binary: no C, only allowed licences, one registry.

use serde_json::Value;
use spdx::{Expression, ParseMode};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the names and versions of all packages that are compiled into the binary or run during its build, such as
/// `bytes 1.11.0`.
fn shipped(target: &str) -> BTreeSet<String> {
    let tree =
        cargo(&["tree", "--package", "curlew", "--edges", "normal,build", "--prefix", "none", "--target", target]);
    let packages = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.trim_start_matches('v')))
    });
    let packages: BTreeSet<_> = packages.collect();
    assert!(packages.len() > 30, "{target}: {packages:?}");
    packages
}

/// Returns the manifests of all packages shipped for any target, from `cargo metadata`.
fn manifests() -> Vec<Value> {
    let shipped: BTreeSet<_> = TARGETS.iter().flat_map(|target| shipped(target)).collect();
    let mut metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    let found: Vec<_> = packages.into_iter().filter(|package| shipped.contains(&name(package))).collect();
    assert_eq!(found.len(), shipped.len(), "every shipped package has a manifest");
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

#[track_caller]
fn none(rule: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{rule}\n{}", wrong.join("\n"));
}

#[test]
fn no_shipped_package_compiles_or_links_c() {
    const COMPILERS: [&str; 8] = ["cc", "cmake", "bindgen", "pkg-config", "vcpkg", "autotools", "nasm-rs", "gcc"];
    // Cryptography in C or in assembly, and bindings of C libraries.
    const BINDINGS: [&str; 4] = ["ring", "native-tls", "rdkafka", "openssl"];
    // These `links` keys name no library; they only prevent two versions from being linked together.
    const ONLY_A_NAME: [&str; 2] = ["rayon-core", "prettyplease"];
    let mut wrong = Vec::new();
    for package in manifests() {
        let name = text(&package["name"]);
        if COMPILERS.contains(&name) {
            wrong.push(format!("{name} runs a C compiler or looks for C libraries"));
        }
        // linux-raw-sys consists of tables of numbers in Rust.
        if BINDINGS.contains(&name) || (name.ends_with("-sys") && name != "linux-raw-sys") {
            wrong.push(format!("{name} binds a C library"));
        }
        if !package["links"].is_null() && !ONLY_A_NAME.contains(&name) {
            wrong.push(format!("{name} links {}", package["links"]));
        }
    }
    none("no C in the dependency tree", wrong);
}

#[test]
fn every_shipped_package_has_an_allowed_licence() {
    const ALLOWED: [&str; 8] =
        ["MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unicode-3.0", "Zlib"];
    let mut wrong = Vec::new();
    for package in manifests() {
        let licence = text(&package["license"]);
        // Lax mode also parses `MIT/Apache-2.0`, which older manifests contain.
        let fits = Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|licence| {
            licence.evaluate(|need| need.license.id().is_some_and(|id| ALLOWED.contains(&id.name)))
        });
        if !fits {
            wrong.push(format!("{}: {licence:?}", name(&package)));
        }
    }
    none("licences are on the list in this test", wrong);
}

#[test]
fn every_shipped_package_comes_from_one_registry_with_a_checksum() {
    let lock: toml::Table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap().parse().unwrap();
    let locked = lock["package"].as_array().unwrap();
    let sources: BTreeSet<_> = locked.iter().filter_map(|package| package.get("source")?.as_str()).collect();
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
    let has = |package: &toml::Value, key: &str| package.get(key).is_some();
    let unchecked = locked.iter().filter(|package| has(package, "source") != has(package, "checksum"));
    none("a package of the registry has a checksum", unchecked.map(|package| format!("{package:?}")).collect());
    let members = locked.iter().filter(|package| !has(package, "source"));
    assert_eq!(members.count(), 2, "only the workspace's packages come from a path");
}

#[test]
fn no_dependency_allows_every_version() {
    let ours = manifests().into_iter().filter(|package| package["source"].is_null());
    let wild = ours.flat_map(|package| package["dependencies"].as_array().cloned().unwrap_or_default());
    let wild = wild.filter(|dependency| dependency["req"] == "*");
    none("a dependency names its version", wild.map(|dependency| dependency["name"].to_string()).collect());
}
