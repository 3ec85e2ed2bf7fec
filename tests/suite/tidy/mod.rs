//! The rules of the code base, held by reading its text. Each rule is one test.

mod invariants;
mod lexer;
mod manifest;
mod settings;
mod source;
