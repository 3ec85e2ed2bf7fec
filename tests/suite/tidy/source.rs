//! The files to which the rules apply.

use super::lexer::{self, Code, Token};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A Rust file without its comments and test code.
pub struct Source {
    /// The path from the root of the workspace.
    pub path: &'static str,
    pub tokens: Vec<Token>,
    /// Its lines of code, numbered from 1.
    pub lines: Vec<(usize, &'static str)>,
    /// The number of lines, including comments and test code.
    pub length: usize,
    /// The files and directories of its test modules.
    tests: Vec<String>,
}

impl Source {
    pub fn read(path: &'static str, text: &'static str) -> Self {
        let Code { tokens, test_modules } = lexer::without_tests(lexer::tokens(text));
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let children = match name.trim_end_matches(".rs") {
            "mod" | "lib" | "main" => directory.to_owned(),
            stem => format!("{directory}/{stem}"),
        };
        let tests = test_modules.iter().flat_map(|module| match module.path {
            Some(path) => vec![format!("{directory}/{path}")],
            None => vec![format!("{children}/{}.rs", module.name), format!("{children}/{}/", module.name)],
        });
        Self { path, lines: lines(text, &tokens), length: text.lines().count(), tests: tests.collect(), tokens }
    }

    /// Whether the file is in one of `paths`. `src/http/` includes `src/http.rs`, the file of the same module.
    pub fn is_under(&self, paths: &[&str]) -> bool {
        let module = self.path.strip_suffix(".rs").unwrap_or(self.path);
        paths.iter().any(|path| self.path.starts_with(path) || path.strip_suffix('/') == Some(module))
    }
}

/// Groups tokens by line. A string that spans several lines belongs to its first line.
fn lines(text: &'static str, tokens: &[Token]) -> Vec<(usize, &'static str)> {
    let line = |tokens: &[Token]| {
        let (first, last) = (tokens.first()?, tokens.last()?);
        Some((first.line, &text[first.start..last.start + last.text.len()]))
    };
    tokens.chunk_by(|a, b| a.line == b.line).filter_map(line).collect()
}

/// The code of `src/` and `integration/` without tests.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let files = files(&["src", "integration"]).into_iter().filter(|path| path.ends_with(".rs"));
    let is_test = |path: &str| path.starts_with("integration/tests/");
    let read = |path: String| Source::read(path.clone().leak(), text(&path).unwrap().leak());
    let mut sources: Vec<Source> = files.filter(|path| !is_test(path)).map(read).collect();
    let tests: Vec<String> = sources.iter_mut().flat_map(|source| std::mem::take(&mut source.tests)).collect();
    let is_test = |path: &str| tests.iter().any(|test| path == test || (test.ends_with('/') && path.starts_with(test)));
    sources.retain(|source| !is_test(source.path));
    sources
});

pub fn workspace() -> &'static [Source] {
    &SOURCES
}

/// The code of `src/`.
pub fn sources() -> impl Iterator<Item = &'static Source> {
    SOURCES.iter().filter(|source| source.is_under(&["src/"]))
}

pub fn outside(paths: &[&str]) -> impl Iterator<Item = &'static Source> {
    sources().filter(move |source| !source.is_under(paths))
}

pub fn inside(paths: &[&str]) -> impl Iterator<Item = &'static Source> {
    sources().filter(move |source| source.is_under(paths))
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the paths of all files in `directories` of the workspace, except for build output.
pub fn files(directories: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if !matches!(name.to_str(), Some("node_modules" | "target" | "__pycache__")) {
                    directories.push(entry.path());
                }
            } else if let Ok(path) = entry.path().strip_prefix(root()) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Returns the text of a file, or `None` if it is not UTF-8.
pub fn text(path: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).unwrap()).ok()
}

/// Returns whether `line` contains `word` as a complete name.
pub fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(|c| part_of_name(c) && word.starts_with(part_of_name))
            && !after.is_some_and(|c| part_of_name(c) && word.ends_with(part_of_name))
    })
}

/// Fails with the location of each line that breaks a rule.
#[track_caller]
pub fn no_line(rule: &str, sources: impl Iterator<Item = &'static Source>, breaks: impl Fn(&Source, &str) -> bool) {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in &source.lines {
            if breaks(source, line) {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}
