//! The modules of `src/` and their imports, read from `use` declarations and from paths in code.
//!
//! A path counts if it begins with `crate::`, `super::`, `self::` or a child module (in `main.rs`, with `curlew::`). It
//! refers to the module that it names. If that module only re-exports the name (`pub use`), it also refers to the
//! module that declares it. Comments and test code are ignored.

use super::lexer::{Kind, Token};
use super::source::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The path of a module from the crate root; `main.rs` is `main`.
pub type Module = Vec<&'static str>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: Module,
    pub to: Module,
    /// `src/a.rs:12`
    pub location: String,
}

static IMPORTS: LazyLock<Vec<Import>> = LazyLock::new(|| imports_of(sources()));

pub fn imports() -> &'static [Import] {
    &IMPORTS
}

pub fn imports_of<'a>(sources: impl Iterator<Item = &'a Source>) -> Vec<Import> {
    let files: Vec<File> = sources.map(File::read).collect();
    let tree = Tree::of(&files);
    let mut imports = BTreeSet::new();
    for file in &files {
        for path in &file.paths {
            let Some(path_from_root) = tree.resolve_from_root(&file.module, &path.words) else { continue };
            for to in [tree.named(&path_from_root), tree.declaring(&path_from_root)] {
                let location = format!("{}:{}", file.path, path.line);
                imports.insert(Import { from: file.module.clone(), to, location });
            }
        }
    }
    imports.into_iter().collect()
}

/// Returns the path of the module that a file contains.
pub fn module(path: &'static str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|word| *word != "lib").collect()
}

struct File {
    path: &'static str,
    module: Module,
    paths: Vec<UsedPath>,
}

struct UsedPath {
    words: Vec<&'static str>,
    line: usize,
    /// The name that a `use` declares in its module.
    name: Option<&'static str>,
}

impl File {
    fn read(source: &Source) -> Self {
        Self { path: source.path, module: module(source.path), paths: paths(&source.tokens) }
    }
}

fn paths(tokens: &[Token]) -> Vec<UsedPath> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.is("use") {
            at = use_tree(tokens, at + 1, &[], &mut found);
        } else if is_start_of_path(&tokens[at..]) && !(at > 0 && tokens[at - 1].is("::")) {
            let words = tokens[at..].chunks(2).take_while(|pair| pair[0].kind == Kind::Word);
            let words = words.scan(true, |goes_on, pair| {
                let word = goes_on.then_some(pair[0].text);
                *goes_on = pair.get(1).is_some_and(|mark| mark.is("::"));
                word
            });
            let words: Vec<_> = words.collect();
            at += 2 * words.len() - 1;
            found.push(UsedPath { words, line: token.line, name: None });
        } else {
            at += 1;
        }
    }
    found
}

fn is_start_of_path(tokens: &[Token]) -> bool {
    let [first, second, ..] = tokens else { return false };
    second.is("::") && ["crate", "super", "self", "curlew"].iter().any(|word| first.is(word))
}

/// Reads one branch of a `use` at `at`, and returns the index after it.
fn use_tree(tokens: &[Token], mut at: usize, before: &[&'static str], found: &mut Vec<UsedPath>) -> usize {
    let mut words = before.to_vec();
    let line = tokens[at].line;
    loop {
        let token = tokens[at];
        at += 1;
        if token.is("{") {
            while !tokens[at].is("}") {
                at = use_tree(tokens, at, &words, found);
                at += usize::from(tokens[at].is(","));
            }
            return at + 1;
        }
        if token.kind != Kind::Word {
            if token.is("*") {
                found.push(UsedPath { words, line, name: None });
            }
            return at;
        }
        if !token.is("self") || words.is_empty() {
            words.push(token.text);
        }
        if tokens[at].is("::") {
            at += 1;
            continue;
        }
        let mut name = words.last().copied();
        if tokens[at].is("as") {
            name = Some(tokens[at + 1].text);
            at += 2;
        }
        found.push(UsedPath { words, line, name });
        return at;
    }
}

struct Tree {
    modules: BTreeSet<Module>,
    /// The paths from the crate root that imported names refer to.
    imported: BTreeMap<(Module, &'static str), Vec<&'static str>>,
}

impl Tree {
    fn of(files: &[File]) -> Self {
        let modules = files.iter().map(|file| file.module.clone()).collect();
        let mut tree = Self { modules, imported: BTreeMap::new() };
        for file in files {
            for path in &file.paths {
                if let (Some(name), Some(words)) = (path.name, tree.resolve_from_root(&file.module, &path.words)) {
                    tree.imported.insert((file.module.clone(), name), words);
                }
            }
        }
        tree
    }

    /// Returns `None` for a path into another crate.
    fn resolve_from_root(&self, module: &[&'static str], words: &[&'static str]) -> Option<Vec<&'static str>> {
        let supers = words.iter().take_while(|word| **word == "super").count();
        let parent = module.get(..module.len().checked_sub(supers)?)?;
        match *words.first()? {
            "crate" | "curlew" => Some(words[1..].to_vec()),
            "self" => Some([module, &words[1..]].concat()),
            "super" => Some([parent, &words[supers..]].concat()),
            child => {
                let is_child = self.modules.contains(&[module, &[child]].concat());
                is_child.then(|| [module, words].concat())
            }
        }
    }

    /// Returns the last module on a path from the crate root.
    fn named(&self, path: &[&'static str]) -> Module {
        let is_module = |length: &usize| self.modules.contains(&path[..*length]);
        path[..(0..=path.len()).rev().find(is_module).unwrap_or_default()].to_vec()
    }

    /// Returns the module that declares the item at a path from the crate root.
    fn declaring(&self, path: &[&'static str]) -> Module {
        let mut path = path.to_vec();
        // Names that refer to each other in a cycle do not compile; the limit is for invalid sources.
        for _ in 0..16 {
            let module = self.named(&path);
            let rest = &path[module.len()..];
            let Some(target) = rest.first().and_then(|name| self.imported.get(&(module, name))) else { break };
            path = [target, &rest[1..]].concat();
        }
        self.named(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_refers_to_the_module_that_declares_the_name() {
        let sources = [
            Source::read("src/lib.rs", "pub mod room; pub mod other;"),
            Source::read("src/room/mod.rs", "mod a; mod b; pub use b::{deep::C, B}; use std::fmt; pub struct D;"),
            Source::read("src/room/a.rs", "use super::{C, D};\nuse super::b::{self, B as E};\nuse std::io::Read;"),
            Source::read(
                "src/room/b.rs",
                "mod deep; /* use super::a */ fn f() { super::a::g::<self::X>() } // super::a",
            ),
            Source::read("src/room/b/deep.rs", "use crate::other;\n#[cfg(test)] mod tests { use super::super::D; }"),
            Source::read("src/other.rs", "pub use crate::room::B;"),
            Source::read("src/main.rs", "use curlew::other::B;"),
        ];
        let imports = imports_of(sources.iter());
        let shown: BTreeSet<String> = imports
            .iter()
            .filter(|import| !import.from.starts_with(&import.to) && !import.to.starts_with(&import.from))
            .map(|import| format!("{} {}", import.location, import.to.join("::")))
            .collect();
        assert_eq!(
            shown.into_iter().collect::<Vec<_>>(),
            [
                "src/main.rs:1 other",
                "src/main.rs:1 room::b",
                "src/other.rs:1 room",
                "src/other.rs:1 room::b",
                "src/room/a.rs:1 room::b::deep",
                "src/room/a.rs:2 room::b",
                "src/room/b.rs:1 room::a",
                "src/room/b/deep.rs:1 other",
            ]
        );
    }
}
