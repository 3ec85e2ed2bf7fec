//! The latest record of every key of a topic, for streams that start with a snapshot.
//!
//! A view is a fold over the log: a record replaces the previous one with the same key in its partition, and a
//! tombstone removes it, as in Kafka's log compaction. Records without a key are not part of a view. There is one view
//! per topic and [reach](keyed_view::Reach), shared by all streams. The threads of this module read the log in turns,
//! and clients take turns. A view follows the log while a stream that started from it is open, and is dropped a while
//! later.
//!
//! A stream gets a [`TopicSnapshot`](topic_snapshot::TopicSnapshot): the latest records up to some position in each
//! partition. Any position is correct, because the stream then reads the log from there as usual.

pub mod fold;
pub mod follower;
pub mod keyed_view;
pub mod prepared;
pub mod reading;
pub mod store;
pub mod topic_snapshot;
