//! Every setting: flag, variable, file, default, check. The only place that reads arguments and environment.

mod access;
mod check;
mod client_properties;
mod data;
mod demo;
mod doctor;
mod error_line;
mod exit;
mod file;
mod health;
mod info;
mod kafka;
mod key;
mod layers;
mod limits;
mod listen;
mod output_format;
mod serve;
mod show;
mod terminal;
mod values;

pub use demo::{Demo, DemoFolder};
pub use doctor::{Doctor, DoctorTarget};
pub use exit::EarlyExit;
pub use health::Health;
pub use key::{KeyAction, KeyCommand, NewKey};
pub use output_format::{FormatToken, OutputFormat};
pub use serve::Serve;
pub use terminal::{BridgeArgs, Consume, Export, LineFormat, OnGap, Produce, Separator, SourceArgs, Via};
pub use values::{BridgeUrl, UrlScheme};

use crate::logging::LogFormat;
use crate::os::sd_notify::ServiceManager;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use info::InfoCommand;
use layers::Layers;
use log::LevelFilter;
use std::ffi::OsString;
use std::time::Duration;

/// Curlew: an HTTP bridge for Apache Kafka, or for a durable log of its own. curl in, events out, nothing lost in
/// between.
///
/// Without a command it serves; `curlew serve --help` lists its settings. Each can be given as a flag, as a variable of
/// the environment or in a file, curlew.toml; `curlew config show` says which counts.
#[derive(Debug, Parser)]
#[command(name = "curlew", version, max_term_width = 100, override_usage = "curlew [COMMAND] [OPTIONS]")]
struct Cli {
    #[command(subcommand)]
    asked: Invocation,
}

#[derive(Debug, Subcommand)]
enum Invocation {
    #[command(flatten)]
    Do(Box<Command>),
    #[command(flatten)]
    Tell(InfoCommand),
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP in front of Kafka, or of a log of its own (what plain `curlew` does).
    Serve(Box<Serve>),
    /// Serve made-up data of a plant, to look around; nothing of it is kept.
    Demo(Demo),
    /// Print the records of topics, one a line, as they come.
    Consume(Consume),
    /// Send lines of standard input to a topic, one record each.
    Produce(Produce),
    /// Ask the bridge on this machine whether it is well; exit code 0 or 1.
    Health(Health),
    /// Make a key or a password for the file of `curlew serve --auth-file`.
    Key(KeyCommand),
    /// Say what works and what does not between here and Kafka, in order, and what to do.
    Doctor(Doctor),
    /// Print all that a topic holds, one JSON object a line, for `curlew produce --format record`.
    Export(Export),
}

impl Command {
    /// How much to log.
    pub fn log_level(&self) -> LevelFilter {
        match self {
            Self::Serve(serve) => serve.log_level,
            Self::Demo(demo) => demo.log_level,
            Self::Consume(consume) => consume.source.log_level,
            Self::Produce(produce) => produce.source.log_level,
            Self::Export(export) => export.source.log_level,
            Self::Key(_) | Self::Health(_) => LogLevel::Warn,
            Self::Doctor(doctor) => doctor.log_level(),
        }
        .into()
    }
}

impl Command {
    /// How the log is written.
    pub fn log_format(&self) -> LogFormat {
        match self {
            Self::Serve(serve) => serve.log_format,
            Self::Demo(_) => LogFormat::Text,
            // More than warnings is for finding a fault, where the time matters.
            _ if self.log_level() > LevelFilter::Warn => LogFormat::Text,
            _ => LogFormat::Plain,
        }
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

impl Command {
    /// Where the topics are, of commands that go to them.
    fn source(&mut self) -> Option<&mut SourceArgs> {
        match self {
            Self::Serve(_) | Self::Demo(_) | Self::Key(_) | Self::Doctor(_) | Self::Health(_) => None,
            Self::Consume(consume) => Some(&mut consume.source),
            Self::Produce(produce) => Some(&mut produce.source),
            Self::Export(export) => Some(&mut export.source),
        }
    }

    fn kafka(&mut self) -> Option<&mut kafka::KafkaArgs> {
        match self {
            Self::Serve(serve) => Some(&mut serve.kafka),
            Self::Doctor(doctor) => Some(&mut doctor.kafka),
            Self::Demo(_) => None,
            other => other.source().map(|source| &mut source.kafka),
        }
    }
}

/// What the process was asked to do, or why it ends at once.
pub fn from_process() -> Result<Command, EarlyExit> {
    read(std::env::args_os().collect())
}

/// Who started the process and wants to hear from it: systemd's NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
pub fn manager() -> ServiceManager {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) => ServiceManager::new(&socket, watchdog),
        None => ServiceManager::default(),
    }
}

fn read(mut args: Vec<OsString>) -> Result<Command, EarlyExit> {
    // Plain `curlew`, with or without options, serves.
    let command = args.get(1).map(|first| first.to_string_lossy().into_owned());
    let of_curlew = |first: &str| !first.starts_with('-') || matches!(first, "-h" | "--help" | "-V" | "--version");
    if !command.as_deref().is_some_and(of_curlew) {
        args.insert(args.len().min(1), "serve".into());
    }
    let definition = match args.iter().any(|arg| arg == "-h") {
        true => info::in_short(definition()),
        false => definition(),
    };
    let asks_for_all = args.iter().skip(1).take(2).eq(["config", "check"]);
    let mut layers = Layers::new(&definition, args);
    let (cli, matches) = match (asks_for_all, layers.faults.as_slice()) {
        (true, _) => parse_all(&definition, &mut layers)?,
        (false, []) => parse(&definition, &layers).map_err(|e| EarlyExit::of_clap(&e, &definition, &layers))?,
        (false, [first, more @ ..]) => return Err(EarlyExit::of_file(first, more.len())),
    };
    match cli.asked {
        Invocation::Do(mut command) => {
            if let Some(source) = command.source() {
                source.prefer_what_was_said_later(&layers);
            }
            if let Some(kafka) = command.kafka() {
                kafka.connect().map_err(EarlyExit::Refused)?;
            }
            match &mut *command {
                Command::Produce(produce) => produce.check()?,
                Command::Serve(serve) => {
                    serve.check()?;
                    serve.file.overridden = layers.overridden;
                }
                _ => {}
            }
            Ok(*command)
        }
        Invocation::Tell(about) => Err(about.tell(definition, &matches, &layers)),
    }
}

fn parse(definition: &clap::Command, layers: &Layers) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = definition.clone().try_get_matches_from(&layers.args)?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

/// For `config check`: clap stops at the first variable that is wrong, so that is noted among the layers' faults and left
/// out, over and over.
fn parse_all(definition: &clap::Command, layers: &mut Layers) -> Result<(Cli, ArgMatches), EarlyExit> {
    let mut definition = definition.clone();
    loop {
        let error = match parse(&definition, layers) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        let stop = EarlyExit::of_clap(&error, &definition, layers);
        if let EarlyExit::Refused(line) = &stop {
            layers.faults.push(line.clone());
        }
        let Some(id) = exit::refused_variable(&error, &definition, layers) else {
            return Err(match stop {
                EarlyExit::Shown(_) => stop,
                EarlyExit::Refused(_) => EarlyExit::Refused(layers.faults.join("\n")),
            });
        };
        let without = |check: clap::Command| check.mut_arg(id, |arg| arg.env(None::<&str>));
        definition = definition.mut_subcommand("config", |config| config.mut_subcommand("check", without));
    }
}

/// Of all commands.
fn definition() -> clap::Command {
    info::without_what_serve_says(Cli::command())
}

/// As if typed; words end at blanks.
#[cfg(test)]
pub(crate) fn read_line(line: &str) -> Result<Command, EarlyExit> {
    read(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect())
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
