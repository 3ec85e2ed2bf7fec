//! Rules of the code base, checked by reading its source. Each rule is one test.
//!
//! A rule that the code does not follow everywhere yet has a list of exceptions (`*.txt`), which may only shrink: see
//! [`exceptions`]. `cargo test --test suite tidy::imports -- --nocapture` prints the import graph.

mod exceptions;
mod flags;
mod imports;
mod invariants;
mod layers;
mod lexer;
mod manifest;
mod map;
mod modules;
mod names;
mod settings;
mod source;
mod words;
