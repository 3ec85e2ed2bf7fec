//! Streams outside the live flow: new streams, streams that resume from a cursor, and streams that were evicted from their
//! feed. Each of them reads the log from its cursor, in turns on a small pool of threads, until it can join a feed.

pub mod delayed;
pub mod from_snapshot;
pub mod opening;
pub mod pool;
mod positions;
pub mod read_cache;
pub mod shared_turns;
pub mod snapshot_phase;
pub mod task;
pub mod task_queue;
#[cfg(test)]
mod testing;
mod until;
