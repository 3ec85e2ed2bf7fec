//! The real binary against real brokers, with clients that nobody here wrote.
//!
//! One program, so that its suites share brokers and the Java client.

mod harness;
