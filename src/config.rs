//! Every setting: flag, variable, default, check. The only place that reads arguments and environment.

mod data;
mod demo;
mod refusal;
mod values;

pub use demo::{Demo, DemoFolder};
pub use refusal::Stop;

use crate::broker::{Acks, AutoCreate};
use crate::cel::Expression;
use crate::commands::output::Output;
use crate::embedded;
use crate::http::{self, Guard, Listens, Origins};
use crate::hub;
use crate::kafka::Driver;
use crate::record::{Partition, TopicName, now};
use crate::start::{self, parse_from};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use data::Data;
use log::LevelFilter;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// Curlew: an HTTP bridge for Apache Kafka, or for a durable log of its own. curl in, events out, nothing lost in
/// between.
///
/// Without a command it serves; `curlew serve --help` lists its settings.
#[derive(Debug, Parser)]
#[command(name = "curlew", version, max_term_width = 100, override_usage = "curlew [COMMAND] [OPTIONS]")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP in front of Kafka, or of a log of its own (what plain `curlew` does).
    Serve(Serve),
    /// Serve made-up data of a plant, to look around; nothing of it is kept.
    Demo(Demo),
    /// Print the records of topics, one a line, as they come.
    Consume(Consume),
    /// Send lines of standard input to a topic, one record each.
    Produce(Produce),
}

impl Command {
    /// How much to log.
    pub fn log_level(&self) -> LevelFilter {
        match self {
            Self::Serve(serve) => serve.log_level,
            Self::Demo(demo) => demo.log_level,
            Self::Consume(consume) => consume.source.log_level,
            Self::Produce(produce) => produce.source.log_level,
        }
        .into()
    }
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen. On any other address than loopback, others in the network reach it.
    #[arg(long, env = "CURLEW_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080",
          value_parser = values::listen)]
    pub listen: SocketAddr,

    #[command(flatten)]
    kafka: Kafka,

    #[command(flatten)]
    data: Data,

    /// Origin whose pages may use the bridge, such as https://example.org; * for all. Repeatable; the
    /// variable takes a comma-separated list.
    #[arg(long = "cors-origin", env = "CURLEW_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
          action = ArgAction::Append, value_parser = values::origin)]
    pub cors_origins: Vec<String>,

    /// Never ask Kafka to make a topic that a record is sent to and that does not exist.
    #[arg(long, env = "CURLEW_NO_AUTO_CREATE")]
    no_auto_create: bool,

    /// Largest body of one request, except for x-ndjson streams, where it is the longest line.
    #[arg(long, env = "CURLEW_MAX_BODY", value_name = "SIZE", default_value = "8MiB", value_parser = values::size)]
    pub max_body: usize,

    /// Most open connections; one more is refused with 503.
    #[arg(long, env = "CURLEW_MAX_CONNECTIONS", value_name = "N", default_value_t = 20_000)]
    pub max_connections: usize,

    /// Most event streams at a time; one more is refused with 503.
    #[arg(long, env = "CURLEW_MAX_STREAMS", value_name = "N", default_value_t = 10_000)]
    max_streams: usize,

    /// Most bytes of records that wait for Kafka; more are refused with 503.
    #[arg(long, env = "CURLEW_QUEUE_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = values::size)]
    queue_bytes: usize,

    /// How long a request waits for Kafka's receipt before it is answered with 504.
    #[arg(long, env = "CURLEW_PRODUCE_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    produce_timeout: Duration,

    /// How often partitions, leaders and topic ids are looked up anew.
    #[arg(long, env = "CURLEW_METADATA_REFRESH", value_name = "TIME", default_value = "5s",
          value_parser = values::duration)]
    metadata_refresh: Duration,

    /// How long an event stream is silent before it sends a heartbeat.
    #[arg(long, env = "CURLEW_HEARTBEAT", value_name = "TIME", default_value = "15s", value_parser = values::duration)]
    pub heartbeat: Duration,

    /// How long a stream may take nothing before it is closed, to resume later.
    #[arg(long, env = "CURLEW_STALL_TIMEOUT", value_name = "TIME", default_value = "30s",
          value_parser = values::duration)]
    pub stall_timeout: Duration,

    /// How long open requests and queued records get to finish when the bridge is told to end.
    #[arg(long, env = "CURLEW_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s",
          value_parser = values::duration)]
    pub drain_timeout: Duration,

    /// How much to log on standard error.
    #[arg(long, env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
}

impl Serve {
    pub fn hub(&self) -> hub::Settings {
        hub::Settings {
            max_streams: self.max_streams,
            queued_bytes: self.queue_bytes,
            produce_timeout: self.produce_timeout,
            metadata_refresh: self.metadata_refresh,
            ..hub::Settings::default()
        }
    }

    /// With as many connections as the system allows.
    pub fn http(&self, max_connections: usize) -> http::Settings {
        let origins = if self.cors_origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::These(self.cors_origins.clone())
        };
        http::Settings {
            guard: Guard { origins, listens: Listens::on(self.listen.ip()) },
            produce: http::produce::Settings {
                max_body: self.max_body,
                auto_create: self.auto_create(),
                timeout: self.produce_timeout,
            },
            heartbeat: self.heartbeat,
            max_connections,
            stall_timeout: self.stall_timeout,
            drain: self.drain_timeout,
        }
    }

    /// Where no broker is given.
    pub fn embedded(&self) -> embedded::Settings {
        self.data.settings()
    }

    pub fn brokers(&self) -> &[String] {
        &self.kafka.brokers
    }

    pub fn driver(&self) -> Driver {
        self.kafka.driver
    }

    pub fn auto_create(&self) -> AutoCreate {
        if self.no_auto_create { AutoCreate::Never } else { AutoCreate::Ask }
    }
}

#[derive(Debug, Args)]
struct Kafka {
    /// Kafka's address, or several separated by commas: host:port,host:port.
    #[arg(long = "kafka", env = "CURLEW_KAFKA", value_name = "HOST:PORT,…", value_delimiter = ',',
          value_parser = values::broker)]
    brokers: Vec<String>,

    /// How to speak with Kafka: wire (0.11 and later), crate (only for older brokers), or auto, which
    /// asks the broker.
    #[arg(long, env = "CURLEW_DRIVER", value_name = "DRIVER", default_value = "auto")]
    driver: Driver,
}

/// Where `consume` and `produce` find the topics.
#[derive(Debug, Args)]
pub struct Source {
    #[command(flatten)]
    kafka: Kafka,

    /// A running bridge, used where no --kafka is given.
    #[arg(long, env = "CURLEW_URL", value_name = "URL", default_value = "http://127.0.0.1:8080",
          value_parser = values::bridge)]
    url: String,

    /// How much to log on standard error.
    #[arg(long, env = "CURLEW_LOG_LEVEL", value_name = "LEVEL", default_value = "warn")]
    log_level: LogLevel,
}

/// The way to the topics that a [`Source`] chooses.
#[derive(Debug, Clone, Copy)]
pub enum Via<'a> {
    Kafka {
        brokers: &'a [String],
        driver: Driver,
    },
    /// `host:port` of a bridge.
    Bridge(&'a str),
}

impl Source {
    pub fn via(&self) -> Via<'_> {
        if self.kafka.brokers.is_empty() {
            Via::Bridge(&self.url)
        } else {
            Via::Kafka { brokers: &self.kafka.brokers, driver: self.kafka.driver }
        }
    }

    /// A --url that was typed wins over a CURLEW_KAFKA of the environment.
    fn prefer_what_was_typed(&mut self, matches: &ArgMatches) {
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        if typed("url") && !typed("brokers") {
            self.kafka.brokers.clear();
        }
    }
}

#[derive(Debug, Args)]
pub struct Consume {
    /// Topics to read. One that does not exist yet is waited for.
    #[arg(value_name = "TOPIC", required = true, value_parser = TopicName::new)]
    pub topics: Vec<TopicName>,

    #[command(flatten)]
    pub source: Source,

    /// Where to start: latest, earliest, a time like 2026-01-31T08:00:00Z, an age like -15m, or an
    /// event's id.
    #[arg(long, value_name = "PLACE", default_value = "latest", allow_hyphen_values = true, value_parser = place)]
    pub from: start::From,

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

    /// How to print a record: value, json, or a format of %t topic, %p partition, %o offset, %k key,
    /// %v or %s value, %T time in ms, %h headers, %K and %S length of key and value, %%, \n, \t.
    #[arg(long, value_name = "FORMAT", default_value = r"Message: %v\n", value_parser = Output::parse)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Produce {
    /// The topic to write.
    #[arg(value_name = "TOPIC", value_parser = TopicName::new)]
    pub topic: TopicName,

    #[command(flatten)]
    pub source: Source,

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

/// What stands between key and value of a line; not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Separator(pub Vec<u8>);

impl Separator {
    fn parse(text: &str) -> Result<Self, String> {
        values::separator(text).map(Self)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

fn place(text: &str) -> Result<start::From, start::BadFrom> {
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

/// What the process was asked to do, or why it ends at once.
pub fn from_process() -> Result<Command, Stop> {
    read(std::env::args_os().collect())
}

fn read(mut args: Vec<OsString>) -> Result<Command, Stop> {
    // Plain `curlew`, with or without options, serves.
    let command = args.get(1).map(|first| first.to_string_lossy().into_owned());
    let of_curlew = |first: &str| !first.starts_with('-') || matches!(first, "-h" | "--help" | "-V" | "--version");
    if !command.as_deref().is_some_and(of_curlew) {
        args.insert(args.len().min(1), "serve".into());
    }
    let matches = Cli::command().try_get_matches_from(&args).map_err(|e| Stop::of_clap(&e, &args))?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|e| Stop::of_clap(&e, &args))?;
    let under = |name| matches.subcommand_matches(name);
    match &mut cli.command {
        Command::Serve(_) | Command::Demo(_) => {}
        Command::Consume(consume) => {
            under("consume").into_iter().for_each(|m| consume.source.prefer_what_was_typed(m));
        }
        Command::Produce(produce) => {
            under("produce").into_iter().for_each(|m| produce.source.prefer_what_was_typed(m));
        }
    }
    Ok(cli.command)
}

/// As if typed; words end at blanks.
#[cfg(test)]
pub(crate) fn read_line(line: &str) -> Result<Command, Stop> {
    read(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect())
}

#[cfg(test)]
mod tests;
