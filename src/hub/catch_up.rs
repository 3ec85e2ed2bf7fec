//! Streams outside the live flow: each reads the log from its own cursor until it can join a feed.

pub mod delayed;
pub mod fair_queue;
pub mod opening;
pub mod pool;
pub mod read_cache;
pub mod shared_turns;
pub mod task;
pub mod task_queue;
