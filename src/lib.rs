//! Curlew: an HTTP bridge for Apache Kafka. The map, in reading order.
//!
//! - [`record`]: topic names, places in a log, records
//! - [`cursor`]: a place in every partition, written as an SSE id and read back
//! - [`broker`]: the seam: what we ask of a broker, and how it can fail
//! - [`cel`]: which records a stream wants, as an expression
//! - [`start`]: where a stream starts, as a person writes it
//! - [`partitioner`]: which partition a record goes to
//! - [`hub`]: records between many callers and one broker; the threads live here
//! - [`kafka`]: real brokers behind the seam
//! - [`embedded`]: a durable log of our own behind the seam
//! - [`auth`]: who may do what: keys, tokens, and what they allow
//! - [`http`]: the routes; the only place that names warp
//! - [`demo`]: a plant that does not exist, for `curlew demo`
//! - [`commands`]: `consume`, `produce` and `doctor` on the terminal
//! - [`finding`]: what the doctor found
//! - [`notify`]: what systemd wants to hear
//! - [`config`]: every setting
//! - [`tls`]: what both sides need of it
//! - [`seen`]: whether a file is another than when it was read
//! - [`memory_budget`], [`memory_limit`]: how much memory may be used from outside, and how much there is
//! - [`screen`]: text from elsewhere, safe to show on a terminal
//! - [`small_file`]: settings files, read whole within bounds
//! - [`logging`], [`worker`], [`backoff`], [`signal`], [`open_files`], [`process`]: the log, threads that somebody owns, pauses
//!   between tries, being told to end, how many connections the system allows, what it knows of the process

pub mod auth;
pub mod backoff;
pub mod broker;
pub mod cel;
pub mod commands;
pub mod config;
pub mod cursor;
pub mod demo;
pub mod diagnosis;
pub mod embedded;
pub mod file_stamp;
pub mod http;
pub mod hub;
pub mod kafka;
pub mod logging;
pub mod memory_budget;
pub mod memory_limit;
pub mod notify;
pub mod open_files;
pub mod partitioner;
pub mod process;
pub mod record;
pub mod screen;
pub mod signal;
pub mod small_file;
pub mod start_position;
pub mod tls;
pub mod watchdog;
