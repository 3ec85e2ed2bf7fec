//! What one stream consists of: its position, its frames, its mailbox. Nothing here starts or knows a thread.

pub mod chunk;
pub mod chunk_budget;
pub mod encoder;
pub mod feed_key;
pub mod filter_input;
pub mod gap;
pub mod lag;
pub mod log_span;
pub mod mailbox;
pub mod slot;
pub mod state;
pub mod time_budget;
