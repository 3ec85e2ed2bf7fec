//! The latest record of every key of a topic, for streams that start with a snapshot.
//!
//! A view is a fold over the log: a record replaces the earlier one of its key and partition, and a tombstone removes it, as
//! in Kafka's log compaction. Records without a key are not part of it. There is one view per topic, shared by all streams.
//! It is read by threads of this module, a turn at a time, clients in turns; it follows the log while a stream that started
//! from it is open, and is dropped a while later.
//!
//! A stream gets a [`TopicSnapshot`](topic_snapshot::TopicSnapshot): the records at one position of each partition, where the
//! stream continues. Every position is correct, since the log after it is read as usual.

pub mod fold;
pub mod follower;
pub mod keyed_view;
pub mod prepared;
pub mod reading;
pub mod store;
pub mod topic_snapshot;
