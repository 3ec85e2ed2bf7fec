//! The parts of a stream: position, frames and mailbox. This module does not depend on threads.

pub mod bounds;
pub mod chunk;
pub mod chunk_budget;
pub mod encoder;
pub mod feed_key;
pub mod filter_input;
pub mod gap;
pub mod lag;
pub mod log_span;
pub mod mailbox;
pub mod sampler;
pub mod slot;
pub mod state;
pub mod time_budget;
