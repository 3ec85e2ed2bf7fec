//! The parts of a stream: its position, its frames and its mailbox. Threads are in [`live`](super::live) and
//! [`catch_up`](super::catch_up).

pub mod bounds;
pub mod chunk;
pub mod chunk_budget;
pub mod encoder;
pub mod fair_queue;
pub mod feed_key;
pub mod filter_input;
pub mod gap;
pub mod lag;
pub mod log_span;
pub mod mailbox;
pub mod positions_by_leader;
pub mod sampler;
pub mod slot;
pub mod state;
pub mod time_budget;
