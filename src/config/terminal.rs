//! The settings of `curlew consume` and `curlew produce`.

use super::file::ConfigFile;
use super::kafka::KafkaArgs;
use super::layers::Layers;
use super::output_format::OutputFormat;
use super::values::BridgeUrl;
use super::{EarlyExit, LogLevel, values};
use crate::broker::Acks;
use crate::cel::Expression;
use crate::hub::Missing;
use crate::kafka::KafkaSettings;
use crate::record::{Partition, TopicName, now};
use crate::secret::Secret;
use crate::start_position::{self, parse_from};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where `consume` and `produce` find the topics.
#[derive(Debug, Args)]
pub struct SourceArgs {
    #[command(flatten)]
    file: ConfigFile,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    /// A running bridge, used where no Kafka is given.
    #[arg(long, env = "CURLEW_URL", value_name = "URL", default_value = "http://127.0.0.1:8080",
          value_parser = values::bridge)]
    url: BridgeUrl,

    /// Who vouches for a bridge at https, in PEM, instead of the CAs that the system knows; or the bridge's own certificate.
    #[arg(long, env = "CURLEW_CACERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    cacert: Option<PathBuf>,

    /// Key, token or NAME:PASSWORD for the bridge at --url; better in the variable, where ps does not show it.
    #[arg(long, env = "CURLEW_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = token)]
    token: Option<Secret>,

    /// How much to log on standard error.
    #[arg(long, env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "warn")]
    pub(super) log_level: LogLevel,
}

/// The way to the topics that a [`Source`] chooses.
#[derive(Debug, Clone, Copy)]
pub enum Via<'a> {
    Kafka(&'a KafkaSettings),
    Bridge(BridgeAt<'a>),
}

/// A running bridge, and what it takes to talk to it.
#[derive(Debug, Clone, Copy)]
pub struct BridgeAt<'a> {
    pub url: &'a BridgeUrl,
    /// A PEM file.
    pub cacert: Option<&'a Path>,
    pub token: Option<&'a Secret>,
}

impl SourceArgs {
    pub fn via(&self) -> Via<'_> {
        let bridge = BridgeAt { url: &self.url, cacert: self.cacert.as_deref(), token: self.token.as_ref() };
        self.kafka.connection().map_or(Via::Bridge(bridge), Via::Kafka)
    }

    /// A --url that was typed wins over a CURLEW_KAFKA or CURLEW_KAFKA_CONFIG of the environment, and that over a
    /// file's url.
    pub(super) fn prefer_what_was_said_later(&mut self, layers: &Layers) {
        if layers.origin("url") > layers.origin("brokers").max(layers.origin("kafka_config")) {
            self.kafka.clear();
        }
    }
}

#[derive(Debug, Args)]
pub struct Consume {
    /// Topics to read. One that does not exist yet is waited for, without --until-end.
    #[arg(value_name = "TOPIC", required = true, value_parser = TopicName::new)]
    pub topics: Vec<TopicName>,

    #[command(flatten)]
    pub source: SourceArgs,

    /// Where to start: latest, earliest, a time like 2026-01-31T08:00:00Z, an age like -15m, or an
    /// event's id.
    #[arg(long, value_name = "PLACE", default_value = "latest", allow_hyphen_values = true, value_parser = place)]
    pub from: start_position::StartPosition,

    /// Only this partition. Repeatable.
    #[arg(long = "partition", value_name = "N", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<Partition>,

    /// Only records with this key.
    #[arg(long)]
    pub key: Option<String>,

    /// Only records for which this CEL expression is true, such as 'value.temperature > 30 && key == "boiler"'; over
    /// value, key, headers, topic, partition, offset and timestamp.
    #[arg(long = "where", value_name = "EXPR", value_parser = values::condition)]
    pub condition: Option<Arc<Expression>>,

    /// End at the end of every partition as it is now.
    #[arg(long)]
    pub until_end: bool,

    /// End after so many records.
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroU64>,

    /// How to print a record: value, json, exact (JSON from which every byte can be had back; `curlew produce
    /// --format record` reads it), or a format of %t topic, %p partition, %o offset, %k key,
    /// %v or %s value, %T time in ms, %h headers, %K and %S length of key and value, %%, \n, \t.
    #[arg(long, value_name = "FORMAT", default_value = r"Message: %v\n", value_parser = OutputFormat::parse)]
    pub output: OutputFormat,

    #[arg(skip)]
    pub on_gap: OnGap,
}

impl Consume {
    /// What has an end does not wait for topics.
    pub fn missing(&self) -> Missing {
        if self.until_end { Missing::Refuse } else { Missing::Wait }
    }
}

/// What to do where records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Say so.
    #[default]
    GoOn,
    Fail,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The topic to read.
    #[arg(value_name = "TOPIC", value_parser = TopicName::new)]
    topic: TopicName,

    #[command(flatten)]
    pub(super) source: SourceArgs,

    /// Where to start: earliest, a time like 2026-01-31T08:00:00Z, an age like -15m, or an event's id.
    #[arg(long, value_name = "PLACE", default_value = "earliest", allow_hyphen_values = true, value_parser = place)]
    from: start_position::StartPosition,

    /// Only this partition. Repeatable.
    #[arg(long = "partition", value_name = "N", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<Partition>,
}

impl From<Export> for Consume {
    /// All that is there, exactly, or a failure.
    fn from(export: Export) -> Self {
        Self {
            topics: vec![export.topic],
            source: export.source,
            from: export.from,
            partitions: export.partitions,
            key: None,
            condition: None,
            until_end: true,
            limit: None,
            output: OutputFormat::Exact,
            on_gap: OnGap::Fail,
        }
    }
}

#[derive(Debug, Args)]
pub struct Produce {
    /// The topic to write.
    #[arg(value_name = "TOPIC", value_parser = TopicName::new)]
    pub topic: TopicName,

    #[command(flatten)]
    pub source: SourceArgs,

    /// What a line is: value, or record (what `curlew export` writes: a JSON object with value, key, headers and
    /// timestamp; its topic, partition and offset count for nothing).
    #[arg(long, value_name = "FORMAT", default_value = "value")]
    pub format: LineFormat,

    /// With --format record: write each record to the partition that its line names.
    #[arg(long, conflicts_with = "partition")]
    pub keep_partitions: bool,

    /// What stands between key and value of a line, such as : or \t. A line without it has no key.
    #[arg(long, value_name = "SEP", value_parser = Separator::parse)]
    pub key_separator: Option<Separator>,

    /// Write all records to this partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<Partition>,

    /// Header of every record. Repeatable.
    #[arg(long = "header", value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = values::header)]
    pub headers: Vec<(String, String)>,

    /// How many copies must have a record before it counts as written: all, 1 or 0.
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    pub acks: Acks,
}

impl Produce {
    /// Refuses what would count for nothing.
    pub(super) fn check(&self) -> Result<(), EarlyExit> {
        let no_use = match self.format {
            LineFormat::Value if self.keep_partitions => {
                "--keep-partitions is for --format record: a line that is a value names no partition"
            }
            LineFormat::Record if self.key_separator.is_some() => {
                "--key-separator is for --format value: a line that is a record names its key itself"
            }
            _ => return Ok(()),
        };
        Err(EarlyExit::Refused(no_use.to_owned()))
    }
}

/// What a line of standard input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    Value,
    Record,
}

/// What stands between key and value of a line; not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separator(pub Vec<u8>);

impl Separator {
    fn parse(text: &str) -> Result<Self, String> {
        values::separator(text).map(Self)
    }
}

/// Whatever it is: it must not be shown in an error.
fn token(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.trim()))
}

fn place(text: &str) -> Result<start_position::StartPosition, start_position::BadFrom> {
    parse_from(text, now())
}

fn acks(text: &str) -> Result<Acks, &'static str> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err("give all, 1 or 0"),
    }
}
