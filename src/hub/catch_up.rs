//! Streams outside the live flow: new ones, those that resume from a cursor, and those whose client was too slow. Each
//! reads the log from its own cursor, in turns on a small pool of threads, until it can join a feed.

pub mod delayed;
pub mod fair_queue;
pub mod opening;
pub mod pool;
mod positions;
pub mod read_cache;
pub mod shared_turns;
pub mod task;
pub mod task_queue;
mod until;
