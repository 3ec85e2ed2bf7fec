//! The write side.

mod encode;
