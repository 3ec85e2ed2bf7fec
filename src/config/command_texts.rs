//! The examples and exit codes of the commands, for `--help` and the manual pages.

use clap::Command;

/// Examples of a command, one per line.
struct CommandTexts {
    command: &'static str,
    examples: &'static [&'static str],
    exit_codes: &'static str,
}

const PRINTS: &str =
    "0 at the end, after a signal, and when standard output is closed; 1 after a failure; 2 for invalid arguments.";
const ASKS: &str = "0 on success; 1 on failure; 2 for invalid arguments.";

const TEXTS: [CommandTexts; 10] = [
    CommandTexts {
        command: "serve",
        examples: &[
            "curlew serve --data /var/lib/curlew",
            "curlew serve --kafka broker:9092 --listen 0.0.0.0:8080 --cors-origin https://example.org",
            "curlew serve --kafka-config client.properties --auth-file auth.toml",
        ],
        exit_codes: "0 after a signal; 1 after a second signal; 2 if it cannot start.",
    },
    CommandTexts { command: "demo", examples: &["curlew demo"], exit_codes: ASKS },
    CommandTexts {
        command: "consume",
        examples: &[
            "curlew consume readings --from -15m",
            "curlew consume readings -o beginning -e -f '%k=%v\\n'",
            "curlew consume readings --where 'value.temperature >= 30' --select value.temperature --output csv",
        ],
        exit_codes: PRINTS,
    },
    CommandTexts {
        command: "tail",
        examples: &["curlew tail readings", "curlew tail -n 20 readings | jq .temperature"],
        exit_codes: PRINTS,
    },
    CommandTexts {
        command: "produce",
        examples: &[
            "echo '{\"temperature\":21.5}' | curlew produce readings",
            "curlew produce readings -K: < lines.txt",
            "curlew export readings | curlew produce copy --format record",
        ],
        exit_codes: "0 if every record was acknowledged; 1 otherwise; 2 for invalid arguments.",
    },
    CommandTexts {
        command: "topics",
        examples: &[
            "curlew topics list",
            "curlew topics describe readings",
            "curlew topics create readings --partitions 3 --topic-config retention.ms=86400000",
            "curlew topics delete readings --yes",
        ],
        exit_codes: ASKS,
    },
    CommandTexts {
        command: "health",
        examples: &["curlew health --ready"],
        exit_codes: "0 if it is healthy; 1 otherwise; 2 for invalid arguments.",
    },
    CommandTexts { command: "key", examples: &["curlew key new --name press-7 --produce 'plant.*'"], exit_codes: ASKS },
    CommandTexts {
        command: "doctor",
        examples: &["curlew doctor --kafka broker:9092 --topic readings", "curlew doctor --json"],
        exit_codes: "0 if no check failed; 1 otherwise; 2 for invalid arguments.",
    },
    CommandTexts {
        command: "export",
        examples: &["curlew export readings > readings.ndjson"],
        exit_codes: "0 if the output is complete; 1 otherwise; 2 for invalid arguments.",
    },
];

/// Adds the examples to the help of each command.
pub fn with_examples(definition: Command) -> Command {
    definition.mut_subcommands(|command| match of(&command) {
        Some(texts) => {
            let examples = texts.examples.iter().map(|example| format!("\n  {example}"));
            command.after_help(format!("Examples:{}", examples.collect::<String>()))
        }
        None => command,
    })
}

fn of(command: &Command) -> Option<&'static CommandTexts> {
    TEXTS.iter().find(|texts| texts.command == command.get_name())
}

/// Returns the sections of the manual page that clap does not write, as roff.
pub fn manual_sections(command: &Command) -> String {
    let mut roff = String::new();
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let mut section = |name: &str, paragraphs: &[String]| {
        roff.push_str(&format!(".SH {name}\n"));
        paragraphs.iter().for_each(|paragraph| roff.push_str(&format!(".PP\n{paragraph}\n")));
    };
    if let Some(texts) = of(command) {
        let examples: Vec<_> = texts.examples.iter().map(|example| format!(".nf\n{}\n.fi", escaped(example))).collect();
        section("EXAMPLES", &examples);
        section("EXIT STATUS", &[escaped(texts.exit_codes)]);
    }
    let variables = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg.get_env()?.to_str()?)));
    let variables: Vec<_> = variables.map(|(flag, name)| escaped(&format!("{name}: the value of --{flag}"))).collect();
    if !variables.is_empty() {
        section("ENVIRONMENT", &variables);
        section("FILES", &[escaped("./curlew.toml: settings, unless --config names another file")]);
    }
    roff
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::definition;

    /// Splits a command of a shell at blanks outside quotes.
    fn words(command: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in command.trim().chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words
    }

    #[test]
    fn every_command_has_examples_that_it_accepts() {
        let documented: Vec<_> = TEXTS.iter().map(|texts| texts.command).collect();
        for command in definition().get_subcommands().map(Command::get_name) {
            assert!(documented.contains(&command) || ["config", "completions", "man"].contains(&command), "{command}");
        }
        for texts in &TEXTS {
            for example in texts.examples {
                let commands =
                    example.split('|').map(|part| part.split(" < ").next().unwrap().split(" > ").next().unwrap());
                let commands: Vec<_> = commands.filter(|part| part.trim().starts_with("curlew ")).map(words).collect();
                assert!(commands.iter().any(|words| words.get(1).unwrap() == texts.command), "{example}");
                for words in commands {
                    let alone = definition().mut_subcommands(|command| command.mut_args(|arg| arg.env(None::<&str>)));
                    alone.try_get_matches_from(&words).unwrap_or_else(|error| panic!("{example}: {error}"));
                }
            }
        }
    }
}
