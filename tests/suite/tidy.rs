//! The architecture's invariants, held by reading the sources. Each rule is one test.
//!
//! The rules read text: comments and test code are left out first, by `#[cfg(test)]` and by the
//! names of files (`tests.rs`, `…_tests.rs`, `testing.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source file: its lines of code, numbered from 1.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
    length: usize,
}

impl Source {
    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            rust_files(&entry.path(), found);
        } else if entry.path().extension().is_some_and(|e| e == "rs") {
            found.push(entry.path());
        }
    }
    found.sort();
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem == "tests" || stem.ends_with("_tests") || stem == "testing"
        })
}

/// All of `src/` but tests and comments.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    files.iter().filter(|f| !is_test_file(f)).map(|f| source(f)).collect()
}

fn source(file: &Path) -> Source {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = Vec::new();
    let mut rest = text.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line)));
    while let Some((number, code)) = rest.next() {
        if let Some(indent) = code.strip_suffix("#[cfg(test)]") {
            // The item ends on its first line, or as rustfmt lays it out.
            let first = rest.find(|(_, line)| !line.trim_start().starts_with("#["));
            if first.is_some_and(|(_, line)| line.trim_end().ends_with('{')) {
                rest.find(|(_, line)| line.trim_end() == format!("{indent}}}"));
            }
        } else if !code.trim().is_empty() {
            lines.push((number, code.to_owned()));
        }
    }
    let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    Source { path, lines, length: text.lines().count() }
}

fn without_comment(line: &str) -> &str {
    let (mut in_string, mut escaped) = (false, false);
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if bytes.get(at.wrapping_sub(1)) != Some(&b'\'') => in_string = !in_string,
            b'/' if !in_string && bytes.get(at + 1) == Some(&b'/') => return &line[..at],
            _ => {}
        }
    }
    line
}

/// Whether `line` holds `word`, not as a part of a longer name.
fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(|c| part_of_name(c) && word.starts_with(part_of_name))
            && !after.is_some_and(|c| part_of_name(c) && word.ends_with(part_of_name))
    })
}

/// Fails with the place of each line that breaks a rule.
#[track_caller]
fn no_line(rule: &str, sources: impl IntoIterator<Item = Source>, breaks: impl Fn(&Source, &str) -> bool) {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in &source.lines {
            if breaks(&source, line) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

fn outside(places: &[&str]) -> Vec<Source> {
    sources().into_iter().filter(|s| !s.is_under(places)).collect()
}

fn inside(places: &[&str]) -> Vec<Source> {
    sources().into_iter().filter(|s| s.is_under(places)).collect()
}

#[test]
fn only_the_kafka_folder_names_a_kafka_crate() {
    no_line("only src/kafka/ names a Kafka crate", outside(&["src/kafka/"]), |_, line| {
        names(line, "kafka_protocol") || line.contains("use kafka::") || line.contains("use ::kafka")
    });
}

#[test]
fn only_the_http_folder_names_warp() {
    no_line("only src/http/ names warp", outside(&["src/http/"]), |_, line| names(line, "warp"));
}

#[test]
fn nothing_that_talks_to_a_broker_is_async() {
    no_line(
        "kafka/, embedded/ and hub/ are blocking code on threads",
        inside(&["src/kafka/", "src/embedded/", "src/hub/"]),
        |_, line| ["async", "await", "tokio", "futures_util::stream"].iter().any(|word| names(line, word)),
    );
}

#[test]
fn the_mailbox_holds_the_only_waker() {
    no_line("only hub/mailbox.rs wakes a task", outside(&["src/hub/mailbox.rs"]), |_, line| {
        names(line, "Waker") || names(line, "AtomicWaker")
    });
}

#[test]
fn every_queue_has_a_bound() {
    // tokio's `mpsc::channel(N)` has a bound, std's `mpsc::channel()` has none.
    let unbounded = ["unbounded(", "unbounded::<", "unbounded_channel", "mpsc::channel()", "LinkedList", "SegQueue"];
    no_line("no unbounded queue", sources(), |_, line| unbounded.iter().any(|word| names(line, word)));
}

#[test]
fn every_thread_has_an_owner_that_joins_it() {
    let scoped = |source: &Source| source.lines.iter().any(|(_, line)| line.contains("spawn_scoped"));
    no_line(
        "threads are started by worker.rs, or within a scope that joins them",
        outside(&["src/worker.rs"]),
        |source, line| {
            line.contains("thread::spawn(")
                || names(line, "JoinHandle")
                || line.contains("mem::forget")
                || (line.contains("thread::Builder") && !scoped(source))
        },
    );
}

#[test]
fn only_the_problem_page_knows_error_statuses() {
    let fine = ["OK", "CREATED", "ACCEPTED", "NO_CONTENT", "MULTI_STATUS", "NOT_MODIFIED", "SWITCHING_PROTOCOLS"];
    no_line("error statuses are made by http/problem.rs alone", outside(&["src/http/problem.rs"]), |_, line| {
        line.split("StatusCode::").skip(1).any(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            name.len() > 1 && !fine.contains(&name.as_str())
        })
    });
}

#[test]
fn only_the_config_reads_the_environment_and_arguments() {
    let readers = ["std::env", "env::var", "env::vars", "env::var_os", "env::args", "env::args_os"];
    no_line("settings are read by config.rs alone", outside(&["src/config.rs", "src/config/"]), |_, line| {
        readers.iter().any(|word| names(line, word))
    });
}

#[test]
fn nothing_panics_on_purpose_outside_tests() {
    let panics = [".unwrap()", ".unwrap_err()", ".expect(", ".expect_err(", "panic!(", "unreachable!(", "assert!("];
    no_line("no unwrap, expect or panic outside tests", sources(), |_, line| panics.iter().any(|p| names(line, p)));
}

#[test]
fn nothing_is_left_to_do() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "integration"] {
        rust_files(&root().join(folder), &mut files);
    }
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (index, line) in text.lines().enumerate().filter(|(_, l)| marks.iter().any(|m| names(l, m))) {
            found.push(format!("{}:{}: {}", file.strip_prefix(root()).unwrap().display(), index + 1, line.trim()));
        }
    }
    assert!(found.is_empty(), "no stub and no note to self\n{}", found.join("\n"));
}

#[test]
fn a_file_holds_one_idea_in_at_most_400_lines() {
    let long: Vec<String> =
        sources().iter().filter(|s| s.length > 400).map(|s| format!("{}: {} lines", s.path, s.length)).collect();
    assert!(long.is_empty(), "split these\n{}", long.join("\n"));
}

#[test]
fn dependencies_between_modules_point_one_way() {
    let values: &[&str] = &["src/record.rs", "src/cursor", "src/cel/"];
    let rules: [(&[&str], &[&str]); 5] = [
        (values, &["hub", "http", "kafka", "embedded", "commands", "config"]),
        (&["src/broker.rs"], &["hub", "http", "kafka", "embedded", "commands", "config"]),
        (&["src/hub/"], &["http", "kafka", "embedded", "commands", "config"]),
        (&["src/kafka/", "src/embedded/"], &["http", "hub", "commands"]),
        (&["src/http/"], &["kafka", "embedded", "commands"]),
    ];
    for (places, forbidden) in rules {
        no_line("http → hub → broker ← kafka", inside(places), |_, line| {
            forbidden.iter().any(|module| names(line, &format!("crate::{module}")))
        });
    }
}

/// The names in a section of Cargo.toml.
fn dependencies(section: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
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
    let lines: Vec<String> = sources().into_iter().flat_map(|s| s.lines).map(|(_, line)| line).collect();
    assert_eq!(unused("dependencies", &lines.join("\n")), [""; 0], "in src/");
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    rust_files(&root().join("tests"), &mut files);
    let all: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    assert_eq!(unused("dev-dependencies", &all), [""; 0], "in tests");
}

/// Every flag of `serve` that has a variable: (`--listen`, `CURLEW_LISTEN`).
fn settings() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_curlew")).args(["serve", "--help"]).env("COLUMNS", "500").output();
    let help = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut settings = Vec::new();
    let mut flag = String::new();
    for line in help.lines() {
        if let Some(at) = line.find("--").filter(|_| line.trim_start().starts_with('-')) {
            flag = line[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        }
        if let Some((_, variable)) = line.split_once("[env: ") {
            let variable = variable.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            settings.push((flag.clone(), variable));
        }
    }
    assert!(settings.len() > 3, "found only {settings:?} in\n{help}");
    settings
}

#[test]
fn a_settings_variable_is_named_like_its_flag() {
    for (flag, variable) in settings() {
        let expected = format!("CURLEW_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert_eq!(variable, expected, "of {flag}");
    }
}

#[test]
fn the_readme_names_every_setting() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let missing: Vec<(String, String)> =
        settings().into_iter().filter(|(flag, variable)| !names(&readme, flag) || !names(&readme, variable)).collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
}
