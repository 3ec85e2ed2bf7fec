//! README.md and `curlew serve --help` name the same settings, in the same order, with the same defaults.

use std::process::Command;

/// Flag, variable, default.
type Setting = (String, String, Option<String>);

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let start = text.find(begin)? + begin.len();
    text[start..].split(end).next()
}

fn of_help() -> Vec<Setting> {
    let curlew = Command::new(env!("CARGO_BIN_EXE_curlew")).args(["serve", "--help"]).env_clear().output().unwrap();
    let help = String::from_utf8(curlew.stdout).unwrap();
    // Each setting begins with its flag and extends to the next one.
    let settings = help.split("\n      --").skip(1).filter_map(|setting| {
        let variable = word(between(setting, "[env: ", "]")?);
        let default = between(setting, "[default: ", "]").map(str::to_owned);
        Some((format!("--{}", word(setting)), variable, default))
    });
    settings.collect()
}

fn of_readme() -> Vec<Setting> {
    let readme = include_str!("../../README.md");
    let table = between(readme, "<!-- settings -->", "<!-- /settings -->").unwrap();
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let rows = table.lines().filter(|line| line.starts_with("| `--")).map(|row| {
        let cells: Vec<_> = row.split('|').map(cell).collect();
        (cells[1].clone(), cells[2].clone(), Some(cells[3].clone()).filter(|default| !default.is_empty()))
    });
    rows.collect()
}

#[test]
fn the_readme_and_the_help_name_the_same_settings() {
    let help = of_help();
    assert!(help.len() > 10, "{help:?}");
    assert_eq!(of_readme(), help);
}
