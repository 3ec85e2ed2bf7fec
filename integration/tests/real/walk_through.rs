//! The walk-through in the README, with curl.

use crate::{SOON, bridge};
use curlew_integration::bridge::curlew;
use curlew_integration::process::Process;
use curlew_integration::{eventually, fresh_topic};
use std::process::Command;

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "30"]).args(arguments).output().expect("curl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_record_sent_with_curl_is_printed_in_the_other_terminal() {
    let port = bridge().port;
    let topic = fresh_topic("test");
    let directory = tempfile::tempdir().expect("temporary directory");
    let terminal = curlew(&["consume", &topic, "--url", &format!("http://127.0.0.1:{port}")]);
    let mut terminal = Process::start("curlew consume", terminal, &directory.path().join("terminal"));
    eventually("consume says that it waits for the topic", SOON, || match terminal.log() {
        printed if printed.contains(&topic) => Ok(()),
        printed => Err(printed),
    });

    let printed = curl(&["-d", r#"{"Hello": "World"}"#, &format!("localhost:{port}/topics/{topic}")]);
    assert_eq!(printed.trim(), r#"{"offsets":[{"partition":0,"offset":0}]}"#);
    let wait_for = |line: &str| {
        eventually("consume prints the record", SOON, || match terminal.log() {
            printed if printed.lines().any(|l| l == line) => Ok(()),
            printed => Err(printed),
        })
    };
    wait_for(r#"Message: {"Hello": "World"}"#);

    let printed = curl(&["-d", "again", &format!("localhost:{port}/topics/{topic}")]);
    assert_eq!(printed.trim(), r#"{"offsets":[{"partition":0,"offset":1}]}"#);
    wait_for("Message: again");

    terminal.signal("INT");
    let code = terminal.wait(SOON).code();
    assert!(matches!(code, Some(0 | 130)), "Ctrl-C ends it cleanly, not with {code:?}");
}

#[test]
fn curl_follows_a_stream_and_sees_connected_at_once() {
    let topic = fresh_topic("curl");
    bridge().post(&format!("/topics/{topic}"), "text/plain", "one").expect(200);
    let url = format!("http://localhost:{}/topics/{topic}/events?from=earliest&limit=1", bridge().port);
    let printed = curl(&["-N", &url]);
    let frames: Vec<&str> = printed.split("\n\n").collect();
    assert!(frames[0].contains(": connected"), "{printed}");
    assert!(frames.iter().any(|f| f.starts_with("data: one\nid: ")), "the id is the last line of a frame: {printed}");
}
