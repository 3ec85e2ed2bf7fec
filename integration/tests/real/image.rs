//! The image that the Dockerfile describes: its root file system is assembled, and the program runs there as an
//! unprivileged user on a read-only root.

use crate::ship::static_binary;
use curlew_integration::image::Image;
use curlew_integration::process::Process;
use curlew_integration::{eventually, free_port};
use std::process::{Command, Output};
use std::time::Duration;

/// Whether this process may mount file systems, which requires the real root user.
pub fn may_mount() -> bool {
    Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success())
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output().expect("curl")
}

#[test]
fn the_image_serves_as_an_unprivileged_user_on_a_read_only_root() {
    if !may_mount() {
        eprintln!(
            "SKIPPED, NOT TESTED: the image cannot be run, since `unshare --mount` is not allowed here (be root)"
        );
        return;
    }
    let image = Image::from_dockerfile();
    assert_eq!((image.ports.as_slice(), image.user.as_str()), (&[8080][..], "65532:65532"));
    let root = tempfile::tempdir().expect("temporary directory");
    let log = tempfile::tempdir().expect("temporary directory");
    std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("rights");
    image.assemble(root.path(), &static_binary());
    let listen = format!("0.0.0.0:{}", free_port());
    let open = [("CURLEW_LISTEN", listen.as_str()), ("CURLEW_INSECURE_NO_AUTH", "true")];
    let words = [image.entrypoint.clone(), image.command.clone()].concat();

    // The image must not serve the network by accident.
    let rejected = image.run(root.path(), &words, &open[..1]).output().expect("started");
    let printed = String::from_utf8_lossy(&rejected.stderr).into_owned();
    assert!(rejected.status.code() == Some(2) && printed.contains("--auth-file"), "{printed}");
    let unwell = image.run(root.path(), &image.health, &open).output().expect("started");
    assert_eq!(unwell.status.code(), Some(1), "nothing serves yet: {unwell:?}");

    let mut serving = Process::start("the image", image.run(root.path(), &words, &open), &log.path().join("log"));
    eventually("it is healthy, as HEALTHCHECK asks", Duration::from_secs(20), || {
        assert!(serving.exited().is_none(), "{}", serving.log());
        let health = image.run(root.path(), &image.health, &open).output().expect("started");
        if health.status.success() { Ok(()) } else { Err(format!("{health:?}")) }
    });
    let url = listen.replace("0.0.0.0", "http://127.0.0.1");
    let produced = curl(&["-d", "21.5", &format!("{url}/topics/t")]);
    assert_eq!(
        String::from_utf8_lossy(&produced.stdout),
        "{\"offsets\":[{\"partition\":0,\"offset\":0}]}\n",
        "{produced:?}"
    );
    let consumed = curl(&["-N", &format!("{url}/topics/t/events?from=earliest&until=end")]);
    assert!(String::from_utf8_lossy(&consumed.stdout).contains("data: 21.5\n"), "{consumed:?}");

    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.id())).expect("it runs");
    for line in ["Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000"] {
        assert!(status.lines().any(|found| found == line), "{line} is not in\n{status}");
    }
    let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", serving.id())).expect("it runs");
    let rights = |at: &str| {
        let mount = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(at)).expect("mounted");
        mount.split(' ').nth(5).expect("options").split(',').next().expect("one").to_owned()
    };
    assert_eq!((rights("/").as_str(), rights("/data").as_str()), ("ro", "rw"), "{mounts}");
    // The drain ends by logging `shut down`.
    assert!(serving.stop().success() && serving.log().contains("shut down"), "{}", serving.log());
    let left: Vec<_> =
        std::fs::read_dir(root.path()).expect("directory").map(|f| f.expect("entry").file_name()).collect();
    assert_eq!(left.len(), 3, "only what was copied is there: {left:?}");
}
