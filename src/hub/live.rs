//! Live streams: one thread for each leader broker reads, and all streams of a feed share the encoded chunks.

pub mod attach;
pub mod evict;
pub mod feed;
pub mod fetch_loop;
pub mod join;
pub mod metadata;
pub mod missing_topic;
pub mod registry;
pub mod tail;
