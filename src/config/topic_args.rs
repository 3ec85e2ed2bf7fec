//! Topics on the command line: as arguments, or as kcat's `-t`.

use crate::record::TopicName;
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// One topic.
#[derive(Debug)]
pub struct TopicArg(pub TopicName);

/// One or more topics, in the order of the command line.
#[derive(Debug)]
pub struct TopicsArg(pub Vec<TopicName>);

#[derive(Debug, Args)]
struct GivenTopic {
    /// The topic.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag", value_parser = TopicName::new)]
    topic: Option<TopicName>,

    /// The topic, as with kcat.
    #[arg(id = "topic_flag", short = 't', long = "topic", value_name = "TOPIC", conflicts_with = "topic",
          hide_long_help = true, value_parser = TopicName::new)]
    topic_flag: Option<TopicName>,
}

#[derive(Debug, Args)]
struct GivenTopics {
    /// One or more topics.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag", value_parser = TopicName::new)]
    topics: Vec<TopicName>,

    /// A topic, as with kcat. Repeatable.
    #[arg(id = "topic_flag", short = 't', long = "topic", value_name = "TOPIC", action = ArgAction::Append,
          hide_long_help = true, value_parser = TopicName::new)]
    topic_flag: Vec<TopicName>,
}

impl FromArgMatches for TopicArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let GivenTopic { topic, topic_flag } = GivenTopic::from_arg_matches(matches)?;
        topic.or(topic_flag).map(Self).ok_or_else(|| Error::new(ErrorKind::MissingRequiredArgument))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TopicArg {
    fn augment_args(command: Command) -> Command {
        GivenTopic::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        GivenTopic::augment_args_for_update(command)
    }
}

impl FromArgMatches for TopicsArg {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let GivenTopics { mut topics, topic_flag } = GivenTopics::from_arg_matches(matches)?;
        topics.extend(topic_flag);
        Ok(Self(topics))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TopicsArg {
    fn augment_args(command: Command) -> Command {
        GivenTopics::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        GivenTopics::augment_args_for_update(command)
    }
}
