//! Lists of exceptions to a rule, which may only shrink.
//!
//! A list is a text file with a key and a number per line. It must match the code exactly: a missing exception fails
//! the test, and so does an obsolete one. `UPDATE_EXPECT=1` removes obsolete ones, and lets numbers move to other keys
//! (when a file is renamed) as long as their sum does not grow.

use super::source::root;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The exceptions in the code by key, each with its location.
pub type Found = BTreeMap<String, Vec<String>>;

/// Fails unless `found` matches the list `tests/suite/tidy/{list}`.
#[track_caller]
pub fn check(rule: &str, list: &str, found: &Found) {
    let path = root().join("tests/suite/tidy").join(list);
    let listed = parse(&std::fs::read_to_string(&path).unwrap_or_default());
    let difference = difference(&listed, found);
    if difference.is_empty() {
        return;
    }
    let (before, now) = (listed.values().sum::<usize>(), found.values().map(Vec::len).sum::<usize>());
    if std::env::var_os("UPDATE_EXPECT").is_some() && now <= before {
        std::fs::write(&path, print(found)).unwrap();
        return;
    }
    panic!(
        "{rule}\n{difference}tests/suite/tidy/{list} lists {before} exceptions, the code has {now}. The list may only \
         shrink: fix the new ones, then run `UPDATE_EXPECT=1 cargo test --test suite tidy::`, which removes obsolete ones \
         and follows renames (resolve a merge conflict with either side first), and commit the list."
    );
}

/// Parses a list. Lines that are not an exception, such as the markers of a merge conflict, are skipped. If a merge
/// leaves two lines for one key, the larger number counts.
fn parse(list: &str) -> BTreeMap<String, usize> {
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for (key, count) in list.lines().filter_map(|line| line.rsplit_once(' ')) {
        if let Ok(count) = count.parse::<usize>() {
            let known = listed.entry(key.to_owned()).or_default();
            *known = count.max(*known);
        }
    }
    listed
}

fn print(found: &Found) -> String {
    found.iter().map(|(key, locations)| format!("{key} {}\n", locations.len())).collect()
}

fn difference(listed: &BTreeMap<String, usize>, found: &Found) -> String {
    let mut text = String::new();
    for (key, locations) in found {
        let (before, now) = (listed.get(key).copied().unwrap_or_default(), locations.len());
        if now > before {
            writeln!(text, "  new: {key} has {now}, the list has {before}\n    {}", locations.join("\n    ")).unwrap();
        }
    }
    for (key, before) in listed {
        let now = found.get(key).map_or(0, Vec::len);
        if now < *before {
            writeln!(text, "  obsolete: {key} has {now}, the list has {before}").unwrap();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference_of(listed: &str, found: &[(&str, &[&str])]) -> String {
        let found =
            found.iter().map(|(key, locations)| (key.to_string(), locations.iter().map(|p| p.to_string()).collect()));
        difference(&parse(listed), &found.collect())
    }

    #[test]
    fn new_and_obsolete_exceptions_are_shown() {
        assert_eq!(difference_of("a b 1\nc 2\n", &[("a b", &["a:1"]), ("c", &["c:1", "c:2"])]), "");
        assert_eq!(
            difference_of("c 1\nd 1\n", &[("c", &["c:1", "c:2"])]),
            "  new: c has 2, the list has 1\n    c:1\n    c:2\n  obsolete: d has 0, the list has 1\n"
        );
    }

    #[test]
    fn the_markers_of_a_merge_conflict_are_skipped() {
        assert_eq!(
            difference_of("<<<<<<< HEAD\nc 1\n=======\nc 2\n>>>>>>> 1234567 subject\n", &[("c", &["", ""])]),
            ""
        );
    }
}
