//! The write side.

mod batch;
mod encode;
mod queue;
