//! `consume` and `produce` on the terminal.
