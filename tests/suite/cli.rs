//! The binary, as a shell sees it: exit codes, and one line for what is wrong.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn curlew(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curlew"));
    command.args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

fn refused(args: &[&str], env: &[(&str, &str)], expected: &str) {
    let output = curlew(args, env);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("curlew: ") && said.contains(expected), "{args:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    assert!(output.stdout.is_empty());
    assert_eq!(output.status.code(), Some(2), "{args:?}");
}

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_2() {
    refused(&["--lisen", "x"], &[], "a similar argument exists: '--listen'");
    refused(&["--listen", "x", "--kafka", "a:1"], &[], "127.0.0.1:8080");
    refused(&["serve", "--kafka", "nonsense"], &[], "give host:port");
    refused(&["--kafka", "a:1", "--driver", "best"], &[], "[possible values: wire, crate]");
    refused(&["consume"], &[], "<TOPIC>...");
    refused(&["consume", "t", "--from", "yesterday"], &[], "allowed are latest, earliest, a time like");
    refused(&["consume", "t", "--where", "value.a >"], &[], "where, column 10: expected a value");
    refused(&["nonsense"], &[], "unrecognized subcommand 'nonsense'");
}

#[test]
fn a_wrong_variable_is_named() {
    refused(&[], &[("CURLEW_KAFKA", "nonsense")], "(from the environment, CURLEW_KAFKA)");
    refused(&[], &[("CURLEW_KAFKA", "a:1"), ("CURLEW_LOG_LEVEL", "loud")], "(from the environment, CURLEW_LOG_LEVEL)");
}

#[test]
fn config_check_names_every_wrong_variable() {
    let environment = [("CURLEW_LISTEN", "here"), ("CURLEW_LOG_LEVEL", "loud"), ("CURLEW_AUTH_FILE", "/none.toml")];
    let output = curlew(&["config", "check"], &environment);
    let said = String::from_utf8(output.stderr).unwrap();
    for (name, _) in environment {
        assert_eq!(said.lines().filter(|line| line.contains(name)).count(), 1, "{name} is not in\n{said}");
    }
    assert!(said.lines().count() == 3 && output.status.code() == Some(2), "{said}");
    // With what is wrong all the same, help is help.
    let output = curlew(&["config", "check", "--help"], &environment);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let folder = std::env::temp_dir().join(format!("curlew-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("curlew.toml");
    std::fs::write(&file, "max-streams = 1\nheartbeat = \"1s\"\npartitions = 3\nno-auto-create = true\n").unwrap();
    let file = file.to_str().unwrap();
    let environment = [
        ("CURLEW_CONFIG", file),
        ("CURLEW_MAX_STREAMS", "2"),
        ("CURLEW_PARTITIONS", "4"),
        ("CURLEW_NO_AUTO_CREATE", "false"),
    ];
    let output = curlew(&["config", "show", "--partitions", "5"], &environment);
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in [
        "max-streams = 2  # CURLEW_MAX_STREAMS",
        &format!("heartbeat = \"1s\"  # {file}:2"),
        "partitions = 5  # flag",
        "no-auto-create = false  # CURLEW_NO_AUTO_CREATE",
        "queue-bytes = \"64MiB\"  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    std::fs::write(file, "lisen = 1\n").unwrap();
    refused(&[], &[("CURLEW_CONFIG", file)], "curlew.toml:1: lisen is not a setting; a similar one is listen");
    refused(&["config", "check"], &[("CURLEW_CONFIG", file)], "curlew.toml:1: lisen is not a setting");
    // One in the folder where it is started is found.
    let mut here = Command::new(env!("CARGO_BIN_EXE_curlew"));
    let output = here.args(["config", "check"]).env_clear().current_dir(&folder).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("curlew: ./curlew.toml:1: lisen is not a setting"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_log_says_what_a_file_says_in_vain() {
    let file = std::env::temp_dir().join(format!("curlew-in-vain-{}.toml", std::process::id()));
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\ndata = \"d\"\nheartbeat = \"1s\"\n").unwrap();
    let environment = [("CURLEW_CONFIG", file.to_str().unwrap()), ("CURLEW_DATA", "/proc/none/such")];
    let output = curlew(&["--heartbeat", "2s"], &environment);
    let said = String::from_utf8(output.stderr).unwrap();
    let in_vain: Vec<_> = said.lines().filter(|line| line.contains("overrides it")).collect();
    let [line] = in_vain[..] else { panic!("who types a flag knows of it: {said}") };
    assert!(line.ends_with(&format!("{}:2: data: CURLEW_DATA overrides it", file.display())), "{line}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_file_in_the_folder_that_cannot_be_read_is_not_passed_over() {
    let folder = std::env::temp_dir().join(format!("curlew-unread-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for target in ["curlew.toml", "gone.toml"] {
        std::os::unix::fs::symlink(target, folder.join("curlew.toml")).unwrap();
        let mut here = Command::new(env!("CARGO_BIN_EXE_curlew"));
        let output = here.args(["config", "check"]).env_clear().current_dir(&folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("curlew: ./curlew.toml: cannot be read: "), "a link to {target}: {said}");
        std::fs::remove_file(folder.join("curlew.toml")).unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_data_folder_that_cannot_be_used_is_one_line() {
    let address = "127.0.0.1:0";
    refused(&["--listen", address, "--data", "/proc/none/such"], &[], "choose another with --data");
    refused(&["--listen", address, "--data", env!("CARGO_MANIFEST_DIR")], &[], "was not made by curlew");
}

#[test]
fn a_taken_port_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["--listen", &address, "--kafka", "127.0.0.1:1"], &[], "choose another port with --listen");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["serve", "--help"], &["help", "consume"], &["produce", "-h"], &["--version"]] {
        let output = curlew(args, &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}");
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(if args == ["--version"] {
            "curlew 0"
        } else {
            ""
        }));
    }
    let help = String::from_utf8(curlew(&["serve", "--help"], &[]).stdout).unwrap();
    for setting in ["--listen", "CURLEW_KAFKA", "--cors-origin", "CURLEW_DRAIN_TIMEOUT", "127.0.0.1:8080"] {
        assert!(help.contains(setting), "{setting}");
    }
}

#[test]
fn help_into_a_closed_pipe_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_curlew"))
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_bridge_that_is_not_there_is_one_line_and_exit_code_1() {
    for args in [&["consume", "t"][..], &["produce", "t"]] {
        let url = [args, &["--url", "http://127.0.0.1:1"]].concat();
        let output = curlew(&url, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot reach a bridge at http://127.0.0.1:1"), "{said}");
        assert_eq!((said.lines().count(), output.status.code()), (1, Some(1)));
    }
}

#[test]
fn a_new_key_is_shown_once_with_its_lines_for_the_auth_file() {
    let made = |args: &[&str]| {
        let output = curlew(args, &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let rights = ["--consume", "a.*", "--consume", "b", "--expires-in", "90d"];
    let said = made(&[&["key", "new", "--name", "ann \"x\""], &rights[..]].concat());
    let (key, lines) = said.split_once("\n\n").unwrap();
    assert!(key.starts_with("curlew_") && !lines.contains(key), "{said}");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    let [first, name, sha256, produce, consume, expires] = lines[..] else { panic!("{said}") };
    assert_eq!([first, name], ["[[key]]", r#"name = "ann \"x\"""#]);
    assert_eq!([produce, consume], ["produce = []", r#"consume = ["a.*", "b"]"#]);
    assert_eq!(sha256.len(), "sha256 = ".len() + 66);
    assert!(expires.starts_with("expires = 20") && expires.ends_with('Z'), "{expires}");
    assert!(made(&["key", "new"]).contains("produce = [\"*\"]\nconsume = [\"*\"]\n"));
    refused(&["key", "new", "--name", "a:b"], &[], "no colon");
    refused(&["key", "new", "--produce", "a*b"], &[], "a pattern is *");
}

#[test]
fn nobody_opens_a_bridge_to_a_network_unawares() {
    let others = "the bridge is reachable from the network";
    refused(&["--listen", "0.0.0.0:0", "--kafka", "a:1"], &[], others);
    refused(&["--listen", "192.0.2.1:80"], &[("CURLEW_KAFKA", "a:1")], "--insecure-no-auth if that is intended");
    refused(&["demo", "--listen", "[::]:0"], &[], others);
    refused(&["config", "check", "--listen", "0.0.0.0:0"], &[], others);
    // An address of documentation is nobody's: what is refused now is the address itself.
    let elsewhere = "192.0.2.1:8080";
    refused(&["--listen", elsewhere, "--insecure-no-auth"], &[], "choose another with --listen");
    refused(&["--listen", elsewhere], &[("CURLEW_INSECURE_NO_AUTH", "true")], "choose another with --listen");
}

#[test]
fn an_auth_file_that_cannot_be_used_is_one_line_without_its_secrets() {
    refused(&["--auth-file", "/no/such.toml"], &[], "cannot read /no/such.toml");
    let file = std::env::temp_dir().join(format!("curlew-cli-auth-{}", std::process::id()));
    std::fs::write(&file, "[[key]]\nname = \"a\"\nsha256 = \"curlew_hush\"\n").unwrap();
    let path = file.to_str().unwrap();
    for args in [&["--auth-file", path][..], &["config", "check", "--auth-file", path]] {
        let said = String::from_utf8(curlew(args, &[]).stderr).unwrap();
        assert!(said.contains("line 1: key \"a\": sha256 is not 64") && !said.contains("hush"), "{said}");
        refused(args, &[], "sha256 is not 64 hexadecimal digits");
    }
    std::fs::remove_file(&file).unwrap();
}
