//! The rules of the code base, held by reading its text. Each rule is one test.
//!
//! A rule that the code does not keep everywhere yet has a list of exceptions beside it (`*.txt`), which may only shrink:
//! see [`exceptions`].

mod exceptions;
mod invariants;
mod lexer;
mod manifest;
mod names;
mod settings;
mod source;
mod words;
