//! The live flow: one thread per leader broker fetches new records, each batch is encoded once per feed, and all streams of a
//! feed get the same bytes.

pub mod attach;
pub mod delivery;
pub mod evict;
pub mod feed;
pub mod fetch_loop;
pub mod join;
pub mod metadata_refresher;
pub mod missing_topic;
pub mod registry;
pub mod sample_clock;
pub mod tail;
