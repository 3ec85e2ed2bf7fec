//! The rules of the code base, held by reading its text. Each rule is one test.
//!
//! A rule that the code does not keep everywhere yet has a list of exceptions beside it (`*.txt`), which may only shrink:
//! see [`exceptions`]. The import graph is printed by `cargo test --test suite tidy::imports -- --nocapture`.

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
