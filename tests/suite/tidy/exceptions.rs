//! Lists of exceptions to a rule, which may only shrink.
//!
//! A list is a text file with a key and a number on each line. It must say exactly what the code does: more is a new
//! exception, less is a list to cut. `UPDATE_EXPECT=1` cuts it, and lets numbers move to other keys (a file was renamed) as
//! long as their sum does not grow.

use super::source::root;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The exceptions that the code has, by key, each with its place.
pub type Found = BTreeMap<String, Vec<String>>;

/// Fails unless `found` is what the list at `tests/suite/tidy/{list}` says.
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
        "{rule}\n{difference}The exceptions in tests/suite/tidy/{list} are {before}, the code has {now}. They may only \
         become fewer: mend what is new, then `UPDATE_EXPECT=1 cargo test --test suite tidy::` cuts the list (and follows \
         renames; after a merge conflict take either side first), and commit it."
    );
}

/// Lines that are not an exception, such as the marks of a merge conflict, are skipped. Of two lines for one key, which a
/// merge can leave, the larger number counts.
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
    found.iter().map(|(key, places)| format!("{key} {}\n", places.len())).collect()
}

fn difference(listed: &BTreeMap<String, usize>, found: &Found) -> String {
    let mut text = String::new();
    for (key, places) in found {
        let (before, now) = (listed.get(key).copied().unwrap_or_default(), places.len());
        if now > before {
            writeln!(text, "  new: {key} has {now}, the list says {before}\n    {}", places.join("\n    ")).unwrap();
        }
    }
    for (key, before) in listed {
        let now = found.get(key).map_or(0, Vec::len);
        if now < *before {
            writeln!(text, "  mended: {key} has {now}, the list says {before}").unwrap();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference_of(listed: &str, found: &[(&str, &[&str])]) -> String {
        let found = found.iter().map(|(key, places)| (key.to_string(), places.iter().map(|p| p.to_string()).collect()));
        difference(&parse(listed), &found.collect())
    }

    #[test]
    fn an_exception_more_or_less_than_listed_is_shown() {
        assert_eq!(difference_of("a b 1\nc 2\n", &[("a b", &["a:1"]), ("c", &["c:1", "c:2"])]), "");
        assert_eq!(
            difference_of("c 1\nd 1\n", &[("c", &["c:1", "c:2"])]),
            "  new: c has 2, the list says 1\n    c:1\n    c:2\n  mended: d has 0, the list says 1\n"
        );
    }

    #[test]
    fn what_a_merge_leaves_is_read() {
        assert_eq!(
            difference_of("<<<<<<< HEAD\nc 1\n=======\nc 2\n>>>>>>> 1234567 subject\n", &[("c", &["", ""])]),
            ""
        );
    }
}
