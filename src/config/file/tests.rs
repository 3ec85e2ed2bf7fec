//! Tests of the file's syntax, and of its settings through every command.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::merged_args::{MergedArgs, SettingSource, is_path, settings};
use crate::config::{ClientTarget, Command, EarlyExit, TopicsAction, TopicsCommand, definition, read_line};
use clap::builder::PossibleValue;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsString;

fn check(text: &str, expected: &Expect) {
    let output = match ConfigText::parse(Path::new("curlew.toml"), text) {
        Ok(file) => file.entries.iter().map(|e| format!("{} {} = {:?}\n", e.line, e.name, e.value)).collect::<String>(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    };
    expected.assert_eq(&output);
}

#[test]
fn every_kind_of_value_becomes_a_text_for_its_flag() {
    check(
        "# ours\nlisten = \"0.0.0.0:80\"\n\npartitions = 3\nno-auto-create = true\nmax = 0x1_0\nrate = 1.5\n\
         cors-origin = [\"https://a\",\n  \"https://b\"]\nfrom = 2026-01-31T08:00:00Z\n",
        &expect![[r#"
            2 listen = One("0.0.0.0:80")
            4 partitions = One("3")
            5 no-auto-create = Bool(true)
            6 max = One("16")
            7 rate = One("1.5")
            8 cors-origin = Many(["https://a", "https://b"])
            10 from = One("2026-01-31T08:00:00Z")
        "#]],
    );
}

#[test]
fn invalid_entries_are_reported_with_their_line() {
    check(
        "listen = 1\nlisten = 2\n",
        &expect![[r#"
        curlew.toml:2: duplicate key
    "#]],
    );
    check(
        "\n\nlisten 1\n",
        &expect![[r#"
        curlew.toml:3: key with no value, expected `=`
    "#]],
    );
    check(
        "a = 1\n[kafka]\nb = 1\n",
        &expect![[r#"
        curlew.toml:2: kafka: settings are not grouped in [sections] or {tables}; use the flag's full name
    "#]],
    );
    check(
        "a = [[1]]\nb.c = 1\nd = 99999999999999999999999999999999999999999\n",
        &expect![[r#"
        curlew.toml:1: a: a setting cannot be a list of lists
        curlew.toml:2: b: settings are not grouped in [sections] or {tables}; use the flag's full name
        curlew.toml:3: d: 99999999999999999999999999999999999999999 is too large a number
    "#]],
    );
}

#[test]
fn the_error_for_a_missing_file_names_it() {
    let error = ConfigText::read(Path::new("no/such.toml")).unwrap_err()[0].to_string();
    assert!(error.starts_with("no/such.toml: cannot be read: No such file"), "{error}");
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "(?s).*") {
        let _ = ConfigText::parse(Path::new("f"), &text);
    }

    #[test]
    fn parsing_lines_like_settings_never_panics(lines in proptest::collection::vec("[a-z-]{0,4} ?[=.\\[]? ?[\"\\[{0-9a-z:TZ.,_+-]{0,12}[\"\\]}]?", 0..8)) {
        let _ = ConfigText::parse(Path::new("f"), &lines.join("\n"));
    }
}

/// A settings file that is removed with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("curlew-config-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("curlew.toml");
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Returns the output or the error, with FILE in place of the path and DIR in place of its directory.
fn run(line: &str, text: &str) -> Result<String, String> {
    let file = TempFile::new(text);
    let (path, dir) = (file.0.to_str().unwrap(), file.0.parent().unwrap().to_str().unwrap());
    let plain = |text: String| text.replace(path, "FILE").replace(dir, "DIR");
    match read_line(&line.replace("FILE", path)) {
        Err(EarlyExit::Output(output)) => Ok(plain(output)),
        Err(EarlyExit::Error(error)) => Err(plain(error)),
        Ok(command) => Ok(plain(format!("{command:?}"))),
    }
}

/// Returns the line of `name` in the output of `config show`.
fn shown(arguments: &str, text: &str, name: &str) -> String {
    let all = run(&format!("curlew config show --config FILE {arguments}"), text).unwrap();
    let line = all.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{all}")).to_owned()
}

#[test]
fn a_flag_overrides_the_file_and_the_file_overrides_the_default() {
    let file = "max-streams = 7\ncors-origin = [\"https://a\", \"https://b\"]\n";
    assert_eq!(shown("", "", "max-streams"), "max-streams = 10000  # default");
    assert_eq!(shown("", file, "max-streams"), "max-streams = 7  # FILE:1");
    assert_eq!(shown("--max-streams 9", file, "max-streams"), "max-streams = 9  # flag");
    assert_eq!(shown("", file, "cors-origin"), "cors-origin = [\"https://a\", \"https://b\"]  # FILE:2");
    assert_eq!(shown("--cors-origin https://c", file, "cors-origin"), "cors-origin = [\"https://c\"]  # flag");
    assert_eq!(shown("", file, "kafka"), "# kafka = []  # not set");
}

#[test]
fn serve_uses_the_values_that_config_show_prints() {
    let file = TempFile::new("kafka = \"a:1,b:2\"\nheartbeat = \"1s\"\nno-auto-create = true\nmax-body = 1000\n");
    for line in ["curlew --config FILE", "curlew serve --config=FILE --kafka a:1 --kafka b:2"] {
        let line = line.replace("FILE", file.0.to_str().unwrap());
        let Ok(Command::Serve(serve)) = read_line(&line) else { panic!("{line}") };
        assert_eq!(serve.kafka().unwrap().brokers, ["a:1", "b:2"]);
        assert_eq!(serve.heartbeat, std::time::Duration::from_secs(1));
        assert_eq!((serve.max_body, serve.auto_create()), (1000, crate::broker::AutoCreate::Never));
        assert_eq!(serve.file.config.as_deref(), Some(file.0.as_path()));
    }
}

#[test]
fn errors_in_a_file_name_the_line() {
    let cases = [
        ("\nlisen = \"a\"", "FILE:2: lisen is not a setting; a similar one is listen; `curlew config show` lists all"),
        ("CORS_ORIGIN = \"*\"", "FILE:1: CORS_ORIGIN is not a setting; a similar one is cors-origin; "),
        ("xyzzy = 1", "FILE:1: xyzzy is not a setting; `curlew config show`"),
        ("config = \"other.toml\"", "FILE:1: config is not a setting"),
        ("topic = \"t\"", "FILE:1: topic is not a setting"),
        ("listen = \"here\"", "FILE:1: invalid value 'here' for '--listen <ADDR:PORT>': give an IP address"),
        ("driver = \"best\"", "FILE:1: invalid value 'best' for '--driver <DRIVER>' [possible values: wire, crate]"),
        ("no-auto-create = \"yes\"", "FILE:1: no-auto-create: give true or false"),
        ("max-streams = [1, 2]", "FILE:1: max-streams: give one value, not a list"),
        ("max-streams = true", "FILE:1: invalid value 'true' for '--max-streams <N>': give a number"),
        ("cors-origin = [\"https://a\", \"b\"]", "FILE:1: invalid value 'b' for '--cors-origin <ORIGIN>'"),
        ("[kafka]\na = 1", "FILE:1: kafka: settings are not grouped in [sections]"),
        ("listen", "FILE:1: "),
    ];
    for (text, expected) in cases {
        let error = run("curlew serve --config FILE", text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
    for command in ["config check", "serve", "doctor"] {
        let all = run(&format!("curlew {command} --config FILE"), "a = 1\nb = 2").unwrap_err();
        assert_eq!(all.lines().count(), 2, "{command}: {all}");
    }
    let none = run("curlew serve --config FILE.not", "").unwrap_err();
    assert!(none.starts_with("FILE.not: cannot be read: No such file"), "{none}");
}

#[test]
fn an_invalid_flag_is_not_attributed_to_the_file() {
    let error = run("curlew serve --config FILE --listen here", "listen = \"127.0.0.1:1\"").unwrap_err();
    assert!(error.starts_with("invalid value 'here' for '--listen") && !error.contains("FILE"), "{error}");
}

#[test]
fn a_flag_without_a_variable_is_not_set_by_the_file() {
    let file = TempFile::new("kafka = \"k:1\"\npartitions = 7\n");
    let line = format!("curlew topics create t --config {}", file.0.to_str().unwrap());
    let Ok(Command::Topics(TopicsCommand { action: TopicsAction::Create(create) })) = read_line(&line) else {
        panic!()
    };
    assert!(matches!(create.target().selected(), ClientTarget::Kafka(kafka) if kafka.brokers == ["k:1"]));
    assert_eq!(create.topic().partitions, None);
}

#[test]
fn consume_and_produce_use_their_settings_of_the_file() {
    let file = TempFile::new("kafka = \"k:1\"\nmax-streams = 5\nlog-level = \"error\"\n");
    let config = file.0.to_str().unwrap();
    let Ok(Command::Consume(consume)) = read_line(&format!("curlew consume t --config {config}")) else { panic!() };
    assert!(matches!(consume.target.selected(), ClientTarget::Kafka(kafka) if kafka.brokers == ["k:1"]));
    let line = format!("curlew produce t --config {config} --url http://127.0.0.1:9");
    let Ok(Command::Produce(produce)) = read_line(&line) else { panic!() };
    assert!(
        matches!(produce.target.selected(), ClientTarget::Bridge(at) if at.url.authority == "127.0.0.1:9"),
        "a flag overrides the file's kafka"
    );
}

#[test]
fn a_path_in_a_file_is_relative_to_its_directory() {
    assert_eq!(shown("", "data = \"d\"", "data"), "data = \"DIR/d\"  # FILE:1");
    assert_eq!(shown("", "data = \"/d\"", "data"), "data = \"/d\"  # FILE:1");
    let here = std::path::absolute("d").unwrap();
    assert_eq!(shown("--data d", "data = \"e\"", "data"), format!("data = {here:?}  # flag"));
}

#[test]
fn the_output_of_config_show_is_an_equivalent_file() {
    let without_sources = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("# File"));
        lines.map(|line| line.rsplit_once("  # ").map_or(line, |(setting, _)| setting).to_owned()).collect::<Vec<_>>()
    };
    let first =
        run("curlew config show --config FILE", "max-streams = 5\ncors-origin = \"*\"\nkafka = \"a:1\"").unwrap();
    let second = run("curlew config show --config FILE", &first).unwrap();
    assert_eq!(without_sources(first), without_sources(second));
}

/// Returns a value that `arg` accepts and that is not its default.
fn another_value(command: &clap::Command, arg: &clap::Arg) -> String {
    if matches!(arg.get_action(), clap::ArgAction::SetTrue) {
        return "true".to_owned();
    }
    let possible: Vec<PossibleValue> = arg.get_possible_values();
    let names = possible.iter().map(|value| value.get_name().to_owned());
    let typical = [
        "2",
        "3s",
        "10MiB",
        "200MiB",
        "127.0.0.1:9999",
        "host:1",
        "https://example.org",
        "name",
        "./some/file",
        "10.0.0.0/8",
    ];
    let fits = |value: &String| {
        let is_default = arg.get_default_values().iter().any(|default| default == value.as_str());
        let words = ["serve".to_owned(), format!("--{}={value}", arg.get_long().unwrap())];
        let rejected = command.clone().try_get_matches_from(words).err().map(|e| e.kind());
        use clap::error::ErrorKind::{InvalidValue, ValueValidation};
        !is_default && !matches!(rejected, Some(InvalidValue | ValueValidation))
    };
    let value = names.chain(typical.map(str::to_owned)).find(fits);
    value.unwrap_or_else(|| panic!("add a value of --{} to this test", arg.get_long().unwrap()))
}

#[test]
fn every_setting_of_serve_is_allowed_in_the_file() {
    let definition = definition();
    let serve = definition.find_subcommand("serve").unwrap();
    let names: BTreeSet<_> = settings(serve).into_keys().collect();
    let flags = serve.get_arguments().filter_map(clap::Arg::get_long);
    let flags: BTreeSet<_> = flags.filter(|flag| !["config", "help"].contains(flag)).collect();
    assert_eq!(names, flags, "a flag without a variable is not a setting of the file");
    for (name, arg) in settings(serve) {
        let value = another_value(serve, arg);
        let bare = matches!(arg.get_action(), clap::ArgAction::SetTrue) || value.parse::<i64>().is_ok();
        let text = if bare { format!("\n{name} = {value}") } else { format!("\n{name} = \"{value}\"") };
        let file = TempFile::new(&text);
        let words = ["curlew", "config", "show", "--config", file.0.to_str().unwrap()].map(OsString::from);
        let merged = MergedArgs::new(&definition, words.to_vec());
        assert!(merged.errors.is_empty(), "{:?}", merged.errors);
        assert_eq!(merged.source(arg.get_id().as_str()), SettingSource::File(2), "{name}");
        let typed = merged.args[3].to_str().unwrap();
        let expected = match is_path(arg) {
            true => file.0.parent().unwrap().join(&value).to_str().unwrap().to_owned(),
            false => value.clone(),
        };
        if matches!(arg.get_action(), clap::ArgAction::SetTrue) {
            assert_eq!(typed, format!("--{name}"));
        } else {
            assert_eq!(typed, format!("--{name}={expected}"));
        }
    }
}

#[test]
fn settings_named_like_secrets_are_masked() {
    let secret = |name: &str| ["password", "secret", "passphrase"].iter().any(|word| name.ends_with(word));
    let definition = definition();
    for (name, arg) in settings(&definition) {
        assert!(!secret(name) || arg.is_hide_env_values_set(), "--{name} needs hide_env_values");
    }
}

#[test]
fn credentials_in_a_registrys_url_are_masked() {
    for url in ["http://TOKEN@r:1", "http://me:TOKEN@r:1", "TOKEN@r:1", "https://me:TO/KEN@r:1"] {
        let text = run("curlew config show --config FILE", &format!("schema-registry = {url:?}\n")).unwrap();
        assert!(!text.contains("KEN") && text.contains("***@r:1"), "{text}");
    }
}

#[test]
fn config_check_finds_missing_and_invalid_files() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let fine = run("curlew config check --config FILE", "max-streams = 5\ndata = \"new\"\n").unwrap();
    assert_eq!(fine, "FILE is fine: it sets 2 of the settings\n");
    let text = format!("max-streams = 5\ndata = {:?}\n", here.to_str().unwrap());
    let error = run("curlew config check --config FILE", &text).unwrap_err();
    assert!(error.starts_with("FILE:2: data: ") && error.ends_with("is not a directory"), "{error}");
    // The file exists, but has other content.
    for (text, words) in [
        (format!("tls-cert = {here:?}\ntls-key = {here:?}\n"), "holds no certificates"),
        (
            "tls-cert = \"none.pem\"\ntls-key = \"none.pem\"\n".to_owned(),
            "FILE:1: tls-cert: DIR/none.pem cannot be read",
        ),
        (format!("auth-file = {here:?}\n"), "Cargo.toml"),
    ] {
        let error = run("curlew config check --config FILE", &text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn config_check_reports_every_error_of_a_file() {
    let text = "lisen = \"a\"\nmax-streams = \"many\"\nauth-file = \"none.toml\"\nlisten = \"0.0.0.0:1\"\n\
                tls-cert = \"curlew.toml\"\ntls-key = \"none.pem\"\nkafka-config = \"curlew.toml\"\n\
                schema-registry-credentials = \"curlew.toml\"\n";
    let error = run("curlew config check --config FILE", text).unwrap_err();
    let begins = [
        "FILE:1: lisen is not a setting; a similar one is listen",
        "FILE:2: invalid value 'many' for '--max-streams <N>'",
        "FILE:6: tls-key: DIR/none.pem cannot be read: No such file",
        "FILE:3: auth-file: DIR/none.toml cannot be read: No such file",
        "the file of --kafka-config has no bootstrap.servers",
    ];
    for begin in begins {
        assert_eq!(error.lines().filter(|line| line.starts_with(begin)).count(), 1, "{begin} is not in\n{error}");
    }
    assert_eq!(error.lines().count(), begins.len(), "{error}");
}

#[test]
fn completions_and_manuals_name_every_command() {
    let definition = definition();
    for shell in ["bash", "zsh", "fish"] {
        let Err(EarlyExit::Output(script)) = read_line(&format!("curlew completions {shell}")) else {
            panic!("{shell}")
        };
        for name in ["consume", "completions", "retention-time"] {
            assert!(script.contains(name), "{shell} completes {name}");
        }
    }
    let Err(EarlyExit::Output(page)) = read_line("curlew man") else { panic!() };
    for command in definition.get_subcommands().map(clap::Command::get_name) {
        assert!(page.contains(command), "{command}");
        let Err(EarlyExit::Output(page)) = read_line(&format!("curlew man {command}")) else { panic!("{command}") };
        assert!(page.starts_with(".ie") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    let Err(EarlyExit::Error(error)) = read_line("curlew man nonsense") else { panic!() };
    assert!(error.contains("nonsense is not a command of curlew; the commands are serve, "), "{error}");
}
