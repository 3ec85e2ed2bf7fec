//! The variable of a setting is named like its flag, and the README names both.

use super::source::{names, text};
use std::process::Command;

/// Returns every flag of `serve` that has a variable: (`--listen`, `CURLEW_LISTEN`).
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
    let readme = text("README.md").unwrap();
    let missing: Vec<(String, String)> =
        settings().into_iter().filter(|(flag, variable)| !names(&readme, flag) || !names(&readme, variable)).collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
}
