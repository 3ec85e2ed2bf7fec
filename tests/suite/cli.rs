//! The binary as seen by a shell: exit codes, and one line for each error.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn curlew(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curlew"));
    command.args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

/// Checks that the arguments are rejected with one line that contains `expected`.
fn rejected(args: &[&str], env: &[(&str, &str)], expected: &str) {
    let output = curlew(args, env);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("curlew: ") && error.contains(expected), "{args:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    assert!(output.stdout.is_empty());
    assert_eq!(output.status.code(), Some(2), "{args:?}");
}

#[test]
fn an_invalid_setting_is_one_line_and_exit_code_2() {
    rejected(&["--lisen", "x"], &[], "a similar argument exists: '--listen'");
    rejected(&["--listen", "x", "--kafka", "a:1"], &[], "127.0.0.1:8080");
    rejected(&["serve", "--kafka", "nonsense"], &[], "give host:port");
    rejected(&["--kafka", "a:1", "--driver", "best"], &[], "[possible values: wire, crate]");
    rejected(&["consume"], &[], "<TOPIC>...");
    rejected(&["consume", "t", "--from", "yesterday"], &[], "allowed are latest, earliest, snapshot, -20 for");
    rejected(&["consume", "t", "--where", "value.a >"], &[], "where, column 10: expected a value");
    rejected(&["nonsense"], &[], "unrecognized subcommand 'nonsense'");
}

#[test]
fn an_invalid_variable_is_named() {
    rejected(&[], &[("CURLEW_KAFKA", "nonsense")], "(from the environment, CURLEW_KAFKA)");
    rejected(&[], &[("CURLEW_KAFKA", "a:1"), ("CURLEW_LOG_LEVEL", "loud")], "(from the environment, CURLEW_LOG_LEVEL)");
}

#[test]
fn config_check_reports_every_invalid_variable() {
    let environment = [("CURLEW_LISTEN", "here"), ("CURLEW_LOG_LEVEL", "loud"), ("CURLEW_AUTH_FILE", "/none.toml")];
    let output = curlew(&["config", "check"], &environment);
    let error = String::from_utf8(output.stderr).unwrap();
    for (name, _) in environment {
        assert_eq!(error.lines().filter(|line| line.contains(name)).count(), 1, "{name} is not in\n{error}");
    }
    assert!(error.lines().count() == 3 && output.status.code() == Some(2), "{error}");
    // Help does not depend on the variables.
    let output = curlew(&["config", "check", "--help"], &environment);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn config_check_names_variables_that_are_probably_misspelled() {
    // Kubernetes sets the last two for a service named curlew.
    let environment =
        [("CURLEW_LISEN", "x"), ("CURLEW_CORS_ORIGINS", "x"), ("CURLEW_SERVICE_HOST", "x"), ("CURLEW_PORT", "x")];
    let output = curlew(&["config", "check"], &environment);
    let shown = String::from_utf8(output.stdout).unwrap();
    let notes: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("note: ")).collect();
    let expected = [("CURLEW_CORS_ORIGINS", "CURLEW_CORS_ORIGIN"), ("CURLEW_LISEN", "CURLEW_LISTEN")]
        .map(|(given, meant)| format!("{given} is not a setting and is ignored; a similar one is {meant}"));
    assert_eq!(notes, expected);
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn a_manual_page_has_the_sections_that_readers_expect() {
    let page = String::from_utf8(curlew(&["man", "consume"], &[]).stdout).unwrap();
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
        let headings = page.lines().filter(|line| line.trim_start_matches(".SH ").trim_matches('"') == section);
        assert_eq!(headings.count(), 1, "{section} in\n{page}");
    }
    assert!(page.contains("curlew consume readings \\-\\-from \\-15m"), "{page}");
}

#[test]
fn a_variable_overrides_the_file_and_a_flag_overrides_both() {
    let dir = std::env::temp_dir().join(format!("curlew-cli-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("curlew.toml");
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
    rejected(&[], &[("CURLEW_CONFIG", file)], "curlew.toml:1: lisen is not a setting; a similar one is listen");
    rejected(&["config", "check"], &[("CURLEW_CONFIG", file)], "curlew.toml:1: lisen is not a setting");
    // The file in the working directory is used without --config.
    let mut here = Command::new(env!("CARGO_BIN_EXE_curlew"));
    let output = here.args(["config", "check"]).env_clear().current_dir(&dir).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("curlew: ./curlew.toml:1: lisen is not a setting"));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_log_reports_entries_of_the_file_that_a_variable_overrides() {
    let file = std::env::temp_dir().join(format!("curlew-overridden-{}.toml", std::process::id()));
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\ndata = \"d\"\nheartbeat = \"1s\"\n").unwrap();
    let environment = [("CURLEW_CONFIG", file.to_str().unwrap()), ("CURLEW_DATA", "/proc/none/such")];
    let output = curlew(&["--heartbeat", "2s"], &environment);
    let error = String::from_utf8(output.stderr).unwrap();
    let overridden: Vec<_> = error.lines().filter(|line| line.contains("overrides it")).collect();
    let [line] = overridden[..] else { panic!("a flag that overrides an entry is not reported: {error}") };
    assert!(line.ends_with(&format!("{}:2: data: CURLEW_DATA overrides it", file.display())), "{line}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn an_unreadable_file_in_the_working_directory_is_an_error() {
    let dir = std::env::temp_dir().join(format!("curlew-unread-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for target in ["curlew.toml", "gone.toml"] {
        std::os::unix::fs::symlink(target, dir.join("curlew.toml")).unwrap();
        let mut here = Command::new(env!("CARGO_BIN_EXE_curlew"));
        let output = here.args(["config", "check"]).env_clear().current_dir(&dir).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("curlew: ./curlew.toml: cannot be read: "), "a link to {target}: {error}");
        std::fs::remove_file(dir.join("curlew.toml")).unwrap();
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn an_unusable_data_directory_is_one_line() {
    let address = "127.0.0.1:0";
    rejected(&["--listen", address, "--data", "/proc/none/such"], &[], "choose another directory with --data");
    rejected(&["--listen", address, "--data", env!("CARGO_MANIFEST_DIR")], &[], "was not created by curlew");
}

#[test]
fn a_taken_port_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    rejected(&["--listen", &address, "--kafka", "127.0.0.1:1"], &[], "choose another port with --listen");
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
fn help_to_a_closed_pipe_does_not_panic() {
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
fn an_unreachable_bridge_is_one_line_and_exit_code_1() {
    for args in [&["consume", "t"][..], &["produce", "t"]] {
        let url = [args, &["--url", "http://127.0.0.1:1"]].concat();
        let output = curlew(&url, &[]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("cannot reach a bridge at http://127.0.0.1:1"), "{error}");
        assert_eq!((error.lines().count(), output.status.code()), (1, Some(1)));
    }
}

#[test]
fn a_new_key_is_printed_with_its_entry_for_the_auth_file() {
    let printed = |args: &[&str]| {
        let output = curlew(args, &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let rights = ["--consume", "a.*", "--consume", "b", "--expires-in", "90d"];
    let output = printed(&[&["key", "new", "--name", "ann \"x\""], &rights[..]].concat());
    let (key, lines) = output.split_once("\n\n").unwrap();
    assert!(key.starts_with("curlew_") && !lines.contains(key), "{output}");
    let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    let [first, name, sha256, produce, consume, expires] = lines[..] else { panic!("{output}") };
    assert_eq!([first, name], ["[[key]]", r#"name = "ann \"x\"""#]);
    assert_eq!([produce, consume], ["produce = []", r#"consume = ["a.*", "b"]"#]);
    assert_eq!(sha256.len(), "sha256 = ".len() + 66);
    assert!(expires.starts_with("expires = 20") && expires.ends_with('Z'), "{expires}");
    assert!(printed(&["key", "new"]).contains("produce = [\"*\"]\nconsume = [\"*\"]\n"));
    rejected(&["key", "new", "--name", "a:b"], &[], "no colon");
    rejected(&["key", "new", "--produce", "a*b"], &[], "a pattern is *");
}

#[test]
fn an_unauthenticated_bridge_is_not_exposed_to_a_network_by_mistake() {
    let exposed = "the bridge is reachable from the network";
    rejected(&["--listen", "0.0.0.0:0", "--kafka", "a:1"], &[], exposed);
    rejected(&["--listen", "192.0.2.1:80"], &[("CURLEW_KAFKA", "a:1")], "--insecure-no-auth if that is intended");
    rejected(&["demo", "--listen", "[::]:0"], &[], exposed);
    rejected(&["config", "check", "--listen", "0.0.0.0:0"], &[], exposed);
    // No machine has this address, which is reserved for documentation, so binding to it fails.
    let elsewhere = "192.0.2.1:8080";
    rejected(&["--listen", elsewhere, "--insecure-no-auth"], &[], "choose another with --listen");
    rejected(&["--listen", elsewhere], &[("CURLEW_INSECURE_NO_AUTH", "true")], "choose another with --listen");
}

#[test]
fn an_invalid_auth_file_is_one_line_without_its_secrets() {
    rejected(&["--auth-file", "/no/such.toml"], &[], "cannot read /no/such.toml");
    let file = std::env::temp_dir().join(format!("curlew-cli-auth-{}", std::process::id()));
    std::fs::write(&file, "[[key]]\nname = \"a\"\nsha256 = \"curlew_hush\"\n").unwrap();
    let path = file.to_str().unwrap();
    for args in [&["--auth-file", path][..], &["config", "check", "--auth-file", path]] {
        let error = String::from_utf8(curlew(args, &[]).stderr).unwrap();
        assert!(error.contains("line 1: key \"a\": sha256 is not 64") && !error.contains("hush"), "{error}");
        rejected(args, &[], "sha256 is not 64 hexadecimal digits");
    }
    std::fs::remove_file(&file).unwrap();
}
