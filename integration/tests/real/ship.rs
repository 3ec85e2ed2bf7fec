//! One file, no C: what `make release` ships.

use curlew_integration::kafka::Kafka;
use curlew_integration::process::Process;
use curlew_integration::{eventually, file, free_port, http};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub fn static_binary() -> PathBuf {
    let path = file("../target/x86_64-unknown-linux-musl/release/curlew");
    assert!(path.exists(), "first: cargo build --release --bin curlew --target x86_64-unknown-linux-musl");
    path
}

/// `curlew` in an empty root with an empty environment.
fn in_an_empty_root(root: &std::path::Path, arguments: &[&str]) -> Command {
    std::fs::copy(static_binary(), root.join("curlew")).expect("copied");
    let mut command = if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        Command::new("/usr/sbin/chroot")
    } else {
        let mut unshare = Command::new("/usr/bin/unshare");
        unshare.args(["--user", "--map-root-user", "/usr/sbin/chroot"]);
        unshare
    };
    command.arg(root).arg("/curlew").args(arguments).env_clear();
    command
}

#[test]
fn the_binary_runs_in_an_empty_root() {
    let root = tempfile::tempdir().expect("temp folder");
    let log = tempfile::tempdir().expect("temp folder");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["serve", "--listen", &listen, "--kafka", &Kafka::shared().bootstrap()];
    let mut serving =
        Process::start("curlew in an empty root", in_an_empty_root(root.path(), &arguments), &log.path().join("log"));
    eventually("it serves", Duration::from_secs(20), || {
        if let Some(status) = serving.exited() {
            panic!("ended with {status}: {}", serving.log());
        }
        http::try_connect(port).map_err(|e| e.to_string())
    });
    let topic = Kafka::shared().fresh("static", 1);
    http::post(port, &format!("/topics/{topic}"), "text/plain", "v").expect(200);
    let left: Vec<_> =
        std::fs::read_dir(root.path()).expect("folder").filter_map(Result::ok).map(|f| f.file_name()).collect();
    assert_eq!(left, ["curlew"], "it leaves nothing behind");
}

/// ELF's PT_INTERP: a binary that needs a loader, and with it a C library, names it there.
#[test]
fn the_binary_needs_no_loader() {
    let elf = std::fs::read(static_binary()).expect("read");
    let number = |at: usize, len: usize| elf[at..at + len].iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    assert_eq!(&elf[..5], b"\x7fELF\x02");
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<usize> = (0..count).map(|i| number(headers + i * size, 4)).collect();
    assert!(kinds.contains(&1) && !kinds.contains(&3), "program headers {kinds:?}");
}

/// Everything that ends up in the binary, or runs to build it.
fn dependencies() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            "x86_64-unknown-linux-musl",
            "--manifest-path",
        ])
        .arg(file("../Cargo.toml"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let by_id = |v: &Value| v["id"].as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"]).into_iter().map(|p| (by_id(&p), p)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|n| (by_id(&n), n)).collect();
    let root = packages.iter().find(|(_, p)| p["name"] == "curlew").expect("curlew").0.clone();
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        for dependency in list(&nodes[&id]["deps"]) {
            let for_tests_only = list(&dependency["dep_kinds"]).iter().all(|k| k["kind"] == "dev");
            if !for_tests_only {
                open.push(dependency["pkg"].as_str().expect("id").to_owned());
            }
        }
        if !found.insert(id) {
            open.retain(|o| !found.contains(o));
        }
        open.retain(|o| !found.contains(o));
    }
    found.iter().map(|id| packages[id].clone()).collect()
}

#[test]
fn nothing_in_the_tree_compiles_c() {
    const COMPILERS: [&str; 8] = ["cc", "cmake", "bindgen", "pkg-config", "vcpkg", "autotools", "nasm-rs", "gcc"];
    // `links` of these names no library: the key keeps two versions from being linked together.
    const ONLY_A_NAME: [&str; 2] = ["rayon-core", "prettyplease"];
    let dependencies = dependencies();
    assert!(dependencies.len() > 30, "{} packages", dependencies.len());
    let mut wrong = Vec::new();
    for package in &dependencies {
        let name = package["name"].as_str().expect("name");
        if COMPILERS.contains(&name) {
            wrong.push(format!("{name} runs a C compiler or looks for C libraries"));
        }
        if !package["links"].is_null() && !ONLY_A_NAME.contains(&name) {
            wrong.push(format!("{name} links {}", package["links"]));
        }
        if name.ends_with("-sys") && name != "linux-raw-sys" {
            wrong.push(format!("{name} binds a C library"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
