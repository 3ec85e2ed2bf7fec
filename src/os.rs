//! Interfaces to the operating system: files, signals, limits, the service manager, the terminal.

pub mod closed_pipe;
pub mod fd_limit;
pub mod file_stamp;
pub mod memory_limit;
pub mod priority;
pub mod process;
pub mod sd_notify;
pub mod signal;
pub mod small_file;
pub mod terminal_escapes;
