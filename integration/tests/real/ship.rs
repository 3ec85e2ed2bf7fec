//! The binary that `make release` builds: a single file, without C.

use curlew_integration::kafka::Kafka;
use curlew_integration::process::Process;
use curlew_integration::{eventually, file, free_port, http};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub fn static_binary() -> PathBuf {
    let path = file("../target/x86_64-unknown-linux-musl/release/curlew");
    assert!(path.exists(), "first: cargo build --release --bin curlew --target x86_64-unknown-linux-musl");
    path
}

/// Runs `curlew` in an empty root with an empty environment.
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
    let root = tempfile::tempdir().expect("temporary directory");
    let log = tempfile::tempdir().expect("temporary directory");
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
        std::fs::read_dir(root.path()).expect("directory").filter_map(Result::ok).map(|f| f.file_name()).collect();
    assert_eq!(left, ["curlew"], "it leaves no other files");
}

/// A binary that needs a loader, and with it a C library, names it in ELF's PT_INTERP.
#[test]
fn the_binary_needs_no_loader() {
    let elf = std::fs::read(static_binary()).expect("read");
    let number = |at: usize, len: usize| elf[at..at + len].iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    assert_eq!(&elf[..5], b"\x7fELF\x02");
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<usize> = (0..count).map(|i| number(headers + i * size, 4)).collect();
    assert!(kinds.contains(&1) && !kinds.contains(&3), "program headers {kinds:?}");
}

#[test]
fn the_bill_of_materials_names_every_crate_with_its_licence_and_checksum() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let make = |name: &str| {
        let path = directory.path().join(name);
        let status = Command::new(file("ship/sbom")).arg(&path).status().expect("python3");
        assert!(status.success(), "{status}");
        std::fs::read_to_string(path).expect("written")
    };
    let text = make("first.json");
    assert_eq!(text, make("second.json"), "the same Cargo.lock gives the same bytes");
    let bill: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bill["components"].as_array().expect("components");
    for component in components {
        assert_eq!(component["hashes"][0]["content"].as_str().map(str::len), Some(64), "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let named = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(named("redb") && named("warp") && !named("proptest"), "only what is in the binary");
}
