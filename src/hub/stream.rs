//! What one stream is made of: its request, its frames, its mailbox. Nothing here knows a thread.

pub mod chunk_budget;
pub mod encoder;
pub mod filter_input;
pub mod gap;
pub mod lag;
pub mod mailbox;
pub mod time_budget;
