//! The settings of `curlew consume` and `curlew produce`.

use super::file::ConfigFile;
use super::invalid_settings::InvalidSettings;
use super::invalid_value::InvalidValue;
use super::kafka::KafkaArgs;
use super::merged_args::MergedArgs;
use super::output_format::{DEFAULT_OUTPUT, OutputFormat};
use super::topic_args::{TopicArg, TopicsArg};
use super::values::BridgeUrl;
use super::{LogLevel, values};
use crate::broker::Acks;
use crate::cel::Expression;
use crate::http::event::projection::Projection;
use crate::hub::{Missing, Until};
use crate::kafka::KafkaSettings;
use crate::record::{Partition, now};
use crate::secret::Secret;
use crate::start_position::{InvalidStart, StartPosition, parse_start};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Arguments that select Kafka or a bridge for `consume`, `produce` and `export`.
#[derive(Debug, Args)]
pub struct TargetArgs {
    #[command(flatten)]
    file: ConfigFile,

    #[command(flatten)]
    pub(super) kafka: KafkaArgs,

    /// A running bridge, used if Kafka is not given.
    #[arg(long, help_heading = "Bridge", env = "CURLEW_URL", value_name = "URL", default_value = "http://127.0.0.1:8080",
          value_parser = values::bridge)]
    url: BridgeUrl,

    /// CA of an https bridge in PEM, instead of the system's CAs; or the bridge's own certificate.
    #[arg(long, help_heading = "Bridge", env = "CURLEW_CACERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    cacert: Option<PathBuf>,

    /// Key, token or NAME:PASSWORD for the bridge at --url; prefer the variable, which ps does not show.
    #[arg(long, help_heading = "Bridge", env = "CURLEW_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = token)]
    token: Option<Secret>,

    /// Level of the log on standard error.
    #[arg(long, env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "warn")]
    pub(super) log_level: LogLevel,
}

/// The server that a command uses.
#[derive(Debug, Clone, Copy)]
pub enum ClientTarget<'a> {
    Kafka(&'a KafkaSettings),
    Bridge(BridgeArgs<'a>),
}

/// The address of a running bridge, and the credentials for it.
#[derive(Debug, Clone, Copy)]
pub struct BridgeArgs<'a> {
    pub url: &'a BridgeUrl,
    /// A PEM file.
    pub cacert: Option<&'a Path>,
    pub token: Option<&'a Secret>,
}

impl TargetArgs {
    /// Kafka if it is configured, the bridge otherwise.
    pub fn selected(&self) -> ClientTarget<'_> {
        let bridge = BridgeArgs { url: &self.url, cacert: self.cacert.as_deref(), token: self.token.as_ref() };
        self.kafka.connection().map_or(ClientTarget::Bridge(bridge), ClientTarget::Kafka)
    }

    /// Ignores Kafka if --url comes from a source of higher precedence: a --url flag overrides CURLEW_KAFKA and
    /// CURLEW_KAFKA_CONFIG, which override the url of a settings file.
    pub(super) fn apply_precedence(&mut self, merged: &MergedArgs) {
        if merged.source("url") > merged.source("brokers").max(merged.source("kafka_config")) {
            self.kafka.clear();
        }
    }
}

#[derive(Debug, Args)]
pub struct Consume {
    #[command(flatten)]
    pub topics: TopicsArg,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Where to start: latest, earliest, snapshot (the latest record of every key, then those after that), -20 for the last 20
    /// records of each partition, a time like 2026-01-31T08:00:00Z, an age like -15m, or an event's id.
    #[arg(short = 'o', long, value_name = "POSITION", default_value = "latest", allow_hyphen_values = true, value_parser = start)]
    pub from: StartPosition,

    /// Only this partition. Repeatable.
    #[arg(short = 'p', long = "partition", value_name = "N", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<Partition>,

    /// Only records with this key.
    #[arg(short = 'k', long)]
    pub key: Option<String>,

    /// Only records for which this CEL expression is true, such as 'value.temperature > 30 && key == "boiler"'; over
    /// value, key, headers, topic, partition, offset and timestamp.
    #[arg(long = "where", value_name = "EXPR", value_parser = values::condition)]
    pub condition: Option<Arc<Expression>>,

    /// At most one record per key and interval, the latest: 100ms to 1h, such as 1s.
    #[arg(long, value_name = "INTERVAL", value_parser = values::sample)]
    pub sample: Option<Duration>,

    /// Only these fields, as a JSON object per line, or with --output csv as a table: paths such as
    /// value.temperature,key,headers["source"].
    #[arg(long, value_name = "PATHS", value_parser = values::fields)]
    pub select: Option<Arc<Projection>>,

    /// End at the current end of every partition.
    #[arg(short = 'e', long)]
    pub until_end: bool,

    /// End where --from TIME would start: before the first record of this time or a later one, in each partition. A time
    /// like 2026-01-31T08:00:00Z, an age like -15m, or end.
    #[arg(long = "until", value_name = "TIME", allow_hyphen_values = true, conflicts_with = "until_end",
          value_parser = values::until)]
    pub until_time: Option<Until>,

    /// End after N records.
    #[arg(short = 'c', long, value_name = "N")]
    pub limit: Option<NonZeroU64>,

    /// How to print a record: value, json, exact (JSON that preserves every byte, for `curlew produce --format
    /// record`), csv (with --select), or a format of %t topic, %p partition, %o offset, %k key,
    /// %v or %s value, %T time in ms, %h headers, %K and %S length of key and value, %%, \n, \t.
    ///
    /// With a schema registry, value, json, csv and a format with %v only print what schemas decode; exact and other formats
    /// print the stored bytes.
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = DEFAULT_OUTPUT, value_parser = OutputFormat::parse)]
    pub output: OutputFormat,

    /// Print the key, this separator and the value of each record.
    #[arg(short = 'K', long, value_name = "SEP", conflicts_with_all = ["output", "select"], value_parser = Separator::parse)]
    key_separator: Option<Separator>,

    #[arg(skip)]
    pub on_gap: OnGap,
}

impl Consume {
    /// Prints the values of new records.
    fn new(topics: TopicsArg, target: TargetArgs) -> Self {
        Self {
            topics,
            target,
            from: StartPosition::Latest,
            partitions: Vec::new(),
            key: None,
            condition: None,
            sample: None,
            select: None,
            until_end: false,
            until_time: None,
            limit: None,
            output: OutputFormat::of_values(),
            key_separator: None,
            on_gap: OnGap::Continue,
        }
    }

    /// How to handle missing topics. A stream that ends does not wait for them.
    pub fn missing(&self) -> Missing {
        if self.until() == Until::Forever { Missing::Wait } else { Missing::Refuse }
    }

    /// Where the stream ends.
    pub fn until(&self) -> Until {
        if self.until_end { Until::End } else { self.until_time.unwrap_or(Until::Forever) }
    }

    /// Chooses the output of --select and --key-separator.
    pub(super) fn choose_output(&mut self) -> Result<(), InvalidSettings> {
        self.output = match self.key_separator.take() {
            Some(Separator(separator)) => OutputFormat::with_keys(separator),
            None => self.output.of_fields(self.select.as_ref())?,
        };
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct TailCommand {
    #[command(flatten)]
    topics: TopicsArg,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Number of records of each partition to begin with.
    #[arg(short = 'n', long = "lines", value_name = "N", default_value = "10")]
    count: u32,

    /// Only this partition. Repeatable.
    #[arg(short = 'p', long = "partition", value_name = "N", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<Partition>,

    /// Only records with this key.
    #[arg(short = 'k', long)]
    key: Option<String>,
}

impl From<TailCommand> for Consume {
    /// Prints the values of the last records, and of those that follow.
    fn from(tail: TailCommand) -> Self {
        Self {
            from: StartPosition::Last(tail.count.into()),
            partitions: tail.partitions,
            key: tail.key,
            output: OutputFormat::of_values(),
            ..Self::new(tail.topics, tail.target)
        }
    }
}

/// How to handle a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Report it.
    #[default]
    Continue,
    Fail,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    topic: TopicArg,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// Where to start: earliest, a time like 2026-01-31T08:00:00Z, an age like -15m, or an event's id.
    #[arg(short = 'o', long, value_name = "POSITION", default_value = "earliest", allow_hyphen_values = true, value_parser = start)]
    from: StartPosition,

    /// Only this partition. Repeatable.
    #[arg(short = 'p', long = "partition", value_name = "N", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<Partition>,
}

impl From<Export> for Consume {
    /// Reads the topic up to its end, and fails at a gap.
    fn from(export: Export) -> Self {
        Self {
            from: export.from,
            partitions: export.partitions,
            until_end: true,
            output: OutputFormat::Exact,
            on_gap: OnGap::Fail,
            ..Self::new(TopicsArg(vec![export.topic.0]), export.target)
        }
    }
}

#[derive(Debug, Args)]
pub struct Produce {
    #[command(flatten)]
    pub topic: TopicArg,

    #[command(flatten)]
    pub target: TargetArgs,

    /// Format of a line: value, or record (the output of `curlew export`: a JSON object with value, key, headers and
    /// timestamp; topic, partition and offset are ignored).
    #[arg(long, value_name = "FORMAT", default_value = "value")]
    pub format: LineFormat,

    /// With --format record: write each record to the partition in its line.
    #[arg(long, conflicts_with = "partition")]
    pub keep_partitions: bool,

    /// Separator between key and value of a line, such as : or \t. A line without it has no key.
    #[arg(short = 'K', long, value_name = "SEP", value_parser = Separator::parse)]
    pub key_separator: Option<Separator>,

    /// Key of the records whose line has none.
    #[arg(short = 'k', long, conflicts_with = "format")]
    pub key: Option<String>,

    /// Write all records to this partition.
    #[arg(short = 'p', long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<Partition>,

    /// Header of every record. Repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = values::header)]
    pub headers: Vec<(String, String)>,

    /// Replicas that must have a record before it is acknowledged: all, 1 or 0.
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = acks)]
    pub acks: Acks,
}

impl Produce {
    /// Rejects settings that would have no effect.
    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        match self.format {
            LineFormat::Value if self.keep_partitions => Err(InvalidSettings::KeepPartitionsOfValues),
            LineFormat::Record if self.key_separator.is_some() => Err(InvalidSettings::KeySeparatorOfRecords),
            _ => Ok(()),
        }
    }
}

/// The format of a line of standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    Value,
    Record,
}

/// The separator between key and value of a line; not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separator(pub Vec<u8>);

impl Separator {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        values::separator(text).map(Self)
    }
}

/// Accepts any text, because clap's errors repeat the value, which is a secret here.
fn token(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.trim()))
}

/// Parses a start position, also as kcat names it.
fn start(text: &str) -> Result<StartPosition, InvalidStart> {
    match text {
        "beginning" => Ok(StartPosition::Earliest),
        "end" => Ok(StartPosition::Latest),
        _ => match text.strip_prefix("s@").and_then(|ms| ms.parse().ok()) {
            Some(ms) => Ok(StartPosition::Time(ms)),
            None => parse_start(text, now()),
        },
    }
}

fn acks(text: &str) -> Result<Acks, InvalidValue> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err(InvalidValue::Acks),
    }
}
