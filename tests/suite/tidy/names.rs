//! Each type name is declared once in the workspace.

use super::exceptions::{self, Found};
use super::lexer::{Kind, Token};
use super::source::workspace;

/// Names that may be declared in several modules.
const MAY_REPEAT: [&str; 3] = ["Settings", "Error", "Parser"];

/// Returns the types declared in code, with their lines. Associated types of traits do not count.
fn types(tokens: &[Token]) -> Vec<(&'static str, usize)> {
    let mut found = Vec::new();
    // Whether each open block is the body of an `impl` or a `trait`.
    let mut blocks = vec![false];
    let mut next_is_body = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            _ if token.kind == Kind::Text => {}
            "impl" | "trait" if starts_item(tokens, at) => next_is_body = true,
            "{" => blocks.push(std::mem::take(&mut next_is_body)),
            "}" => drop(blocks.pop()),
            _ => {}
        }
        let declares = ["struct", "enum", "union", "trait"].iter().any(|word| token.is(word))
            || (token.is("type") && blocks.last() == Some(&false));
        if let Some(name) = tokens.get(at + 1).filter(|name| declares && is_type_name(name)) {
            found.push((name.text, name.line));
        }
    }
    found
}

/// Returns false for the `impl` of an `impl Trait` in a signature.
fn starts_item(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| tokens[before].text);
    matches!(before, None | Some("{" | "}" | ";" | "]" | "pub" | ")" | "unsafe"))
}

fn is_type_name(token: &Token) -> bool {
    token.kind == Kind::Word && token.text.starts_with(|c: char| c.is_ascii_uppercase())
}

#[test]
fn a_type_name_is_declared_once() {
    let mut found = Found::new();
    for source in workspace() {
        for (name, line) in types(&source.tokens) {
            found.entry(name.to_owned()).or_default().push(format!("{}:{line}", source.path));
        }
    }
    found.retain(|name, locations| locations.len() > 1 && !MAY_REPEAT.contains(&name.as_str()));
    exceptions::check("a type name is declared once in src/ and integration/", "names.txt", &found);
}

#[test]
fn all_kinds_of_types_are_found() {
    let code = "pub struct A<T: B>(T); enum C {} pub(crate) trait D { type E; } impl D for A { type E = F; }
        type G = A; fn f(x: impl D) -> impl D { struct H; } macro_rules! m { ($name:ident) => { struct $name; } }";
    let names: Vec<&str> = types(&super::lexer::tokens(code)).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["A", "C", "D", "G", "H"]);
}
