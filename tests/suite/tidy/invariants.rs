//! Rules that the architecture sets.

use super::source::{Source, files, inside, names, no_line, outside, sources, text};

#[test]
fn only_the_kafka_directory_uses_a_kafka_crate() {
    no_line("only src/kafka/ names a Kafka crate", outside(&["src/kafka/"]), |_, line| {
        names(line, "kafka_protocol") || line.contains("use kafka::") || line.contains("use ::kafka")
    });
}

#[test]
fn only_the_http_directory_uses_warp() {
    no_line("only src/http/ names warp", outside(&["src/http/"]), |_, line| names(line, "warp"));
}

#[test]
fn code_that_talks_to_a_broker_is_not_async() {
    no_line(
        "kafka/, embedded/ and hub/ are blocking code on threads",
        inside(&["src/kafka/", "src/embedded/", "src/hub/"]),
        |_, line| ["async", "await", "tokio", "futures_util::stream"].iter().any(|word| names(line, word)),
    );
}

#[test]
fn the_mailbox_holds_the_only_waker() {
    let is_mailbox = |s: &Source| s.is_under(&["src/hub/"]) && s.path.ends_with("/mailbox.rs");
    no_line("only the hub's mailbox wakes a task", sources(), |source, line| {
        !is_mailbox(source) && (names(line, "Waker") || names(line, "AtomicWaker"))
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
        "threads are started by worker.rs, or in a scope that joins them",
        outside(&["src/sync/worker.rs"]),
        |source, line| {
            line.contains("thread::spawn(")
                || names(line, "JoinHandle")
                || line.contains("mem::forget")
                || (line.contains("thread::Builder") && !scoped(source))
        },
    );
}

#[test]
fn only_the_problem_module_uses_error_statuses() {
    let fine = ["OK", "CREATED", "ACCEPTED", "NO_CONTENT", "MULTI_STATUS", "NOT_MODIFIED", "SWITCHING_PROTOCOLS"];
    no_line("error statuses occur only in http/problem.rs", outside(&["src/http/problem.rs"]), |_, line| {
        line.split("StatusCode::").skip(1).any(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            name.len() > 1 && !fine.contains(&name.as_str())
        })
    });
}

#[test]
fn only_the_config_reads_the_environment_and_arguments() {
    let readers = ["std::env", "env::var", "env::vars", "env::var_os", "env::args", "env::args_os"];
    no_line("only src/config/ reads settings", outside(&["src/config/"]), |_, line| {
        readers.iter().any(|word| names(line, word))
    });
}

#[test]
fn nothing_panics_on_purpose_outside_tests() {
    let panics = [".unwrap()", ".unwrap_err()", ".expect(", ".expect_err(", "panic!(", "unreachable!(", "assert!("];
    no_line("no unwrap, expect or panic outside tests", sources(), |_, line| panics.iter().any(|p| names(line, p)));
}

#[test]
fn no_stub_and_no_to_do_comment_is_left() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut found = Vec::new();
    for path in files(&["src", "tests", "integration"]).iter().filter(|path| path.ends_with(".rs")) {
        let text = text(path).unwrap();
        for (index, line) in text.lines().enumerate().filter(|(_, l)| marks.iter().any(|m| names(l, m))) {
            found.push(format!("{path}:{}: {}", index + 1, line.trim()));
        }
    }
    assert!(found.is_empty(), "no stub and no to-do comment\n{}", found.join("\n"));
}

#[test]
fn a_file_has_at_most_400_lines() {
    let long: Vec<String> =
        sources().filter(|s| s.length > 400).map(|s| format!("{}: {} lines", s.path, s.length)).collect();
    assert!(long.is_empty(), "split these\n{}", long.join("\n"));
}

#[test]
fn src_includes_no_file_of_tests() {
    let mut found = Vec::new();
    for path in files(&["src"]).iter().filter(|path| path.ends_with(".rs")) {
        let text = text(path).unwrap();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.contains(concat!("../", "tests/"))) {
            found.push(format!("{path}:{}: {}", index + 1, line.trim()));
        }
    }
    assert!(found.is_empty(), "tests/ may include files of src/, but not the reverse\n{}", found.join("\n"));
}
