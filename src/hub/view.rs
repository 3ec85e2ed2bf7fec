//! The latest record of every key of a topic, for streams that start with a snapshot.
//!
//! A view is a fold over the log: a record replaces the earlier one of its key and partition, and a tombstone removes it, as
//! in Kafka's log compaction. Records without a key are not part of it. There is one view per topic, shared by all streams.
//! The threads of this module read it in turns, and clients take turns. The view follows the log while a stream that started
//! from it is open, and is dropped a while later.
//!
//! A stream gets a [`TopicSnapshot`](topic_snapshot::TopicSnapshot): the records at one position of each partition, where the
//! stream continues. Any position is correct, because the stream reads the log after it as usual.

pub mod fold;
pub mod follower;
pub mod keyed_view;
pub mod prepared;
pub mod reading;
pub mod store;
pub mod topic_snapshot;
