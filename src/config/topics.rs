//! The settings of `curlew topics`.

use super::terminal::TargetArgs;
use super::topic_args::TopicArg;
use super::values;
use crate::broker::NewTopic;
use crate::record::Partition;
use clap::{ArgAction, Args, Subcommand};

/// Lists, describes, creates and deletes topics.
#[derive(Debug, Args)]
pub struct TopicsCommand {
    #[command(subcommand)]
    pub action: TopicsAction,
}

#[derive(Debug, Subcommand)]
pub enum TopicsAction {
    /// Create a topic; exit code 0 or 1.
    ///
    /// Through a bridge this needs `curlew serve --allow-create`, and the right manage if the bridge has an auth file.
    Create(CreateTopic),
    /// Print the names of the topics, one per line.
    List(ListTopics),
    /// Print the partitions of a topic with their leaders, offsets and replicas, and the settings of the topic.
    Describe(DescribeTopic),
    /// Delete a topic with all its records; exit code 0 or 1.
    ///
    /// Through a bridge this needs `curlew serve --allow-delete`, and the right manage if the bridge has an auth file.
    Delete(DeleteTopic),
}

#[derive(Debug, Args)]
pub struct CreateTopic {
    #[command(flatten)]
    topic: TopicArg,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Number of partitions. Without it, the broker's default.
    #[arg(long = "partitions", value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<Partition>,

    /// Number of replicas of each partition. Without it, the broker's default.
    #[arg(long = "replication-factor", value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,

    /// Setting of the topic, such as retention.ms=86400000. Repeatable. (Not --config, which names the settings file.)
    #[arg(long = "topic-config", value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = values::topic_config)]
    configs: Vec<(String, String)>,
}

impl CreateTopic {
    /// The server to create the topic on.
    pub fn target(&self) -> &TargetArgs {
        &self.target
    }

    /// The topic to create. The last value of a repeated setting wins.
    pub fn topic(&self) -> NewTopic {
        NewTopic {
            name: self.topic.0.clone(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.configs.iter().cloned().collect(),
        }
    }
}

#[derive(Debug, Args)]
pub struct ListTopics {
    #[command(flatten)]
    pub target: TargetArgs,
}

#[derive(Debug, Args)]
pub struct DescribeTopic {
    #[command(flatten)]
    pub topic: TopicArg,

    #[command(flatten)]
    pub target: TargetArgs,
}

#[derive(Debug, Args)]
pub struct DeleteTopic {
    #[command(flatten)]
    pub topic: TopicArg,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Confirms that all records of the topic are to be deleted.
    #[arg(long, required = true)]
    yes: bool,
}

impl TopicsCommand {
    pub(super) fn target(&self) -> &TargetArgs {
        match &self.action {
            TopicsAction::Create(create) => &create.target,
            TopicsAction::List(list) => &list.target,
            TopicsAction::Describe(describe) => &describe.target,
            TopicsAction::Delete(delete) => &delete.target,
        }
    }

    pub(super) fn target_mut(&mut self) -> &mut TargetArgs {
        match &mut self.action {
            TopicsAction::Create(create) => &mut create.target,
            TopicsAction::List(list) => &mut list.target,
            TopicsAction::Describe(describe) => &mut describe.target,
            TopicsAction::Delete(delete) => &mut delete.target,
        }
    }
}
