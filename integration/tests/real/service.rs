//! Notifications to systemd, the unit file, and the contents of a release.

use crate::image::may_mount;
use crate::ship::static_binary;
use curlew_integration::bridge::{binary, curlew};
use curlew_integration::process::Process;
use curlew_integration::{eventually, file, free_port, http};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const UNIT: &str = "ship/curlew.service";

fn receive(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 512];
    let len = socket.recv(&mut bytes).expect("a message in time");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[test]
fn systemd_is_notified_of_start_watchdog_and_stop() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("socket");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = curlew(&["serve", "--listen", &listen, "--data"]);
    command.arg(directory.path().join("data")).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let mut serving = Process::start("curlew", command, &directory.path().join("log"));
    let ready = receive(&socket);
    assert!(ready.starts_with("READY=1\nSTATUS=serving http://127.0.0.1:"), "{ready}");
    std::net::TcpStream::connect(&listen).expect("a ready bridge listens");
    for _ in 0..3 {
        assert_eq!(receive(&socket), "WATCHDOG=1");
    }
    serving.signal("TERM");
    let stopping = std::iter::repeat_with(|| receive(&socket)).find(|word| word != "WATCHDOG=1");
    assert_eq!(stopping.as_deref(), Some("STOPPING=1\nSTATUS=shutting down"));
    assert!(serving.wait(Duration::from_secs(20)).success());
}

#[test]
fn a_bridge_that_is_still_opening_its_log_exits_on_sigterm() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("directory");
    // Opening this log never ends; opening a large log after a power failure takes long.
    assert!(Command::new("mkfifo").arg(data.join("format")).status().expect("started").success());
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = curlew(&["serve", "--listen", &listen, "--data"]);
    command.arg(&data);
    let mut serving = Process::start("curlew", command, &directory.path().join("log"));
    eventually("the bridge opens its data directory", Duration::from_secs(20), || {
        std::net::TcpStream::connect(&listen).map_err(|e| e.to_string())
    });
    serving.signal("TERM");
    assert!(serving.wait(Duration::from_secs(20)).success());
}

#[test]
fn the_unit_is_valid_and_has_few_permissions() {
    let Ok(_) = Command::new("systemd-analyze").arg("--version").output() else {
        eprintln!("SKIPPED, NOT TESTED: the unit, since there is no systemd-analyze here");
        return;
    };
    let directory = tempfile::tempdir().expect("temporary directory");
    let unit = directory.path().join("curlew.service");
    let text = std::fs::read_to_string(file(UNIT)).expect("unit");
    let binary = static_binary();
    std::fs::write(&unit, text.replace("/usr/local/bin/curlew", binary.to_str().expect("UTF-8"))).expect("written");
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().expect("started");
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // The exposure is 0 for a unit without any permissions, and 10 (here 100) for one with all.
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output()
        .expect("started");
    assert!(judged.status.success(), "{judged:?}");
}

#[test]
fn process_metrics_work_where_the_unit_hides_the_rest_of_proc() {
    if !may_mount() {
        eprintln!("SKIPPED, NOT TESTED: metrics under ProcSubset=pid, since `unshare --mount` is not allowed here");
        return;
    }
    let directory = tempfile::tempdir().expect("temporary directory");
    let port = free_port();
    let mut command = Command::new("unshare");
    let script = "mount -t proc -o subset=pid proc /proc && ! test -e /proc/uptime && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(binary());
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(directory.path().join("data"));
    let mut serving = Process::start("curlew", command, &directory.path().join("log"));
    eventually("it serves", Duration::from_secs(20), || {
        assert!(serving.exited().is_none(), "{}", serving.log());
        http::try_connect(port).map_err(|e| e.to_string())
    });
    let metrics = http::get(port, "/metrics").text();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse::<f64>().expect("a number")
    };
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs_f64();
    assert!((now - value("process_start_time_seconds")).abs() < 60.0, "{metrics}");
    assert!(value("process_max_fds") >= value("process_open_fds"), "{metrics}");
}

fn pack(out: &Path, umask: &str) -> PathBuf {
    let binary = static_binary();
    let packed = Command::new("sh")
        .args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"])
        .arg(file("ship/pack"))
        .arg("x86_64-unknown-linux-musl")
        .args([&binary, &binary])
        .arg(out)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("started");
    assert!(packed.status.success(), "{packed:?}");
    String::from_utf8(packed.stdout).expect("UTF-8").trim().into()
}

#[test]
fn a_release_is_complete_and_reproducible() {
    let (first, second) =
        (tempfile::tempdir().expect("temporary directory"), tempfile::tempdir().expect("temporary directory"));
    let tarball = pack(first.path(), "022");
    let again = std::fs::read(pack(second.path(), "077")).expect("tarball");
    assert!(std::fs::read(&tarball).expect("tarball") == again, "the same input gives different bytes");
    let listed = Command::new("tar").args(["--list", "--verbose", "-f"]).arg(&tarball).output().expect("tar");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    for wanted in [
        "/curlew\n",
        "/LICENSE\n",
        "/README.md\n",
        "/curlew.service\n",
        "/man/curlew.1\n",
        "/man/curlew-serve.1\n",
        "/completions/_curlew\n",
        "/completions/curlew.bash\n",
        "/completions/curlew.fish\n",
    ] {
        assert!(listed.contains(wanted), "{wanted} is not in\n{listed}");
    }
    assert!(listed.lines().all(|line| line.contains(" 0/0 ")), "owned by user 0 on every machine\n{listed}");
    // Every command has a manual page.
    let help = String::from_utf8(curlew(&["--help"]).output().expect("started").stdout).expect("UTF-8");
    let commands = help.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("commands");
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        if !["completions", "man", "help"].contains(&name) {
            assert!(listed.contains(&format!("/man/curlew-{name}.1\n")), "no page of {name} in\n{listed}");
        }
    }
}
