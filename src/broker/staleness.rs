//! The reasons to consider metadata outdated.

use super::NodeId;
use super::error_response::ErrorResponse;
use crate::record::{TopicName, TopicPartition};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why the metadata of a topic or cluster must be refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Staleness {
    /// A broker rejects the request with an error code for outdated metadata.
    #[error(transparent)]
    Rejected(#[from] ErrorResponse),
    /// An election is in progress.
    #[error("{0} has no leader at the moment")]
    NoLeader(TopicPartition),
    /// The broker of the request is not the leader in the metadata.
    #[error("broker {node} does not lead {topic_partition}")]
    NotLeader {
        /// The broker of the request.
        node: NodeId,
        /// The partition.
        topic_partition: TopicPartition,
    },
    /// A silent broker has lost the leadership of a partition.
    #[error("no response for {} s, and broker {leader} leads {topic_partition} now", .silence.as_secs())]
    FormerLeader {
        /// The partition.
        topic_partition: TopicPartition,
        /// The present leader.
        leader: NodeId,
        /// How long the former leader has not responded.
        silence: Duration,
    },
    /// The leader reports the topic or partition as unknown, although it exists.
    #[error("{0}: its leader does not know it yet")]
    UnknownToLeader(TopicPartition),
    /// The response of a leader does not contain the partition.
    #[error("{0} is missing in the response of its leader")]
    NotInResponse(TopicPartition),
    /// The partition's log has changed while it was read.
    #[error("{0} changed while it was read")]
    Changed(TopicPartition),
    /// A broker does not list all partitions of the topic.
    #[error("the broker does not know all partitions of topic {0:?} yet")]
    PartitionsMissing(TopicName),
    /// The topic was deleted or recreated while it was read.
    #[error("topic {0:?} was deleted or recreated, and is looked up again")]
    TopicChanged(TopicName),
    /// No broker has responded about the topic.
    #[error("no broker has responded about topic {0:?} yet")]
    NotLookedUp(TopicName),
    /// One broker reports the topic as unknown, and no other one confirms that.
    #[error("a broker does not know topic {0:?}, and no other broker responds")]
    Unconfirmed(TopicName),
    /// A broker has only the metadata of a deleted topic with the same name.
    #[error("{address} knows only an earlier topic with the name {topic:?}")]
    FormerTopic {
        /// The broker, as `host:port`.
        address: Arc<str>,
        /// The topic.
        topic: TopicName,
    },
    /// A broker has just started (before KRaft).
    #[error("{0} does not know the cluster yet")]
    ClusterUnknownTo(Arc<str>),
    /// The cluster is electing a controller.
    #[error("the cluster has no controller at the moment")]
    NoController,
    /// The broker is not, or no longer, a member of the cluster.
    #[error("broker {0} is not part of the cluster now")]
    UnknownBroker(NodeId),
}
