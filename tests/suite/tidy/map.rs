//! ARCHITECTURE.md and CONTRIBUTING.md name files that exist.

use super::source::root;

const MOST_LINES: usize = 200;

/// Returns the paths between backquotes.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|code| code.starts_with("src/") || code.starts_with("tests/"))
}

#[test]
fn the_files_named_in_the_contributor_docs_exist() {
    for (page, least) in [("ARCHITECTURE.md", 20), ("CONTRIBUTING.md", 3)] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let missing: Vec<_> = paths(&text).filter(|path| !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{page} names files that do not exist: {missing:?}");
        assert!(paths(&text).count() >= least, "the paths in {page} are found");
    }
}

#[test]
fn the_architecture_page_stays_short() {
    let lines = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    assert!(lines <= MOST_LINES, "{lines} lines");
}
