//! All settings, with their flags, variables, file entries, defaults and checks. No other module reads arguments or the
//! environment.

mod access;
mod check;
mod client_properties;
mod command_texts;
mod data;
mod demo;
mod doctor;
mod error_line;
mod exit;
mod file;
mod health;
mod invalid_settings;
mod invalid_value;
mod kafka;
mod key;
mod limit_args;
mod listen;
mod merged_args;
mod output_format;
mod print_command;
mod registry;
mod serve;
mod show;
mod terminal;
mod topic_args;
mod topics;
mod user_info;
mod values;

pub use demo::{Demo, DemoDir};
pub use doctor::{Doctor, DoctorTarget};
pub use exit::EarlyExit;
pub use health::Health;
pub use invalid_settings::InvalidSettings;
pub use key::{KeyAction, KeyCommand, NewKey};
pub use output_format::{FormatToken, OutputFormat};
pub use serve::Serve;
pub use terminal::{
    BridgeArgs, ClientTarget, Consume, Export, LineFormat, OnGap, Produce, Separator, TailCommand, TargetArgs,
};
pub use topics::{CreateTopic, DeleteTopic, DescribeTopic, ListTopics, TopicsAction, TopicsCommand};
pub use values::{BridgeUrl, UrlScheme};

use crate::logging::LogFormat;
use crate::os::sd_notify::ServiceManager;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use log::LevelFilter;
use merged_args::MergedArgs;
use print_command::PrintCommand;
use std::ffi::OsString;
use std::time::Duration;

/// Curlew: an HTTP bridge for Apache Kafka, or for an embedded durable log. curl in, events out, nothing lost in between.
///
/// Without a command it serves; `curlew serve --help` lists the settings. Each can be given as a flag, as an environment
/// variable, or in a file, curlew.toml; `curlew config show` prints the value in effect and its source.
#[derive(Debug, Parser)]
#[command(name = "curlew", version, max_term_width = 100, override_usage = "curlew [COMMAND] [OPTIONS]")]
struct Cli {
    #[command(subcommand)]
    invocation: Invocation,
}

#[derive(Debug, Subcommand)]
enum Invocation {
    #[command(flatten)]
    Run(Box<Command>),
    #[command(flatten)]
    Print(PrintCommand),
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP in front of Kafka or of an embedded log (the default command).
    Serve(Box<Serve>),
    /// Serve simulated data of a plant, for a first look; the data is deleted at the end.
    Demo(Demo),
    /// Print the records of topics as they arrive, one per line.
    Consume(Consume),
    /// Print the values of the last records of topics, and of new records as they arrive.
    Tail(TailCommand),
    /// Send the lines of standard input to a topic, one record per line.
    Produce(Produce),
    /// List, describe, create or delete topics.
    Topics(TopicsCommand),
    /// Check the health of the bridge on this machine; exit code 0 or 1.
    Health(Health),
    /// Create a key or a password entry for the file of `curlew serve --auth-file`.
    Key(KeyCommand),
    /// Check the connection to Kafka step by step, and suggest a remedy for each failure.
    Doctor(Doctor),
    /// Print all records of a topic, one JSON object per line, for `curlew produce --format record`.
    Export(Export),
}

impl Command {
    /// Returns the level of the log.
    pub fn log_level(&self) -> LevelFilter {
        match self {
            Self::Serve(serve) => serve.log_level,
            Self::Demo(demo) => demo.log_level,
            Self::Consume(consume) => consume.target.log_level,
            Self::Tail(tail) => tail.target.log_level,
            Self::Produce(produce) => produce.target.log_level,
            Self::Topics(topics) => topics.target().log_level,
            Self::Export(export) => export.target.log_level,
            Self::Key(_) | Self::Health(_) => LogLevel::Warn,
            Self::Doctor(doctor) => doctor.log_level(),
        }
        .into()
    }
}

impl Command {
    /// Returns the format of the log.
    pub fn log_format(&self) -> LogFormat {
        match self {
            Self::Serve(serve) => serve.log_format,
            Self::Demo(_) => LogFormat::Text,
            // Levels below warnings are for debugging, where timestamps matter.
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
    /// Returns the target of a command that connects either to Kafka or to a bridge.
    fn target(&mut self) -> Option<&mut TargetArgs> {
        match self {
            Self::Serve(_) | Self::Demo(_) | Self::Key(_) | Self::Doctor(_) | Self::Health(_) => None,
            Self::Consume(consume) => Some(&mut consume.target),
            Self::Tail(tail) => Some(&mut tail.target),
            Self::Produce(produce) => Some(&mut produce.target),
            Self::Topics(topics) => Some(topics.target_mut()),
            Self::Export(export) => Some(&mut export.target),
        }
    }

    fn kafka(&mut self) -> Option<&mut kafka::KafkaArgs> {
        match self {
            Self::Serve(serve) => Some(&mut serve.kafka),
            Self::Doctor(doctor) => Some(&mut doctor.kafka),
            Self::Demo(_) => None,
            other => other.target().map(|target| &mut target.kafka),
        }
    }
}

impl Command {
    fn registry(&mut self) -> Option<&mut registry::RegistryArgs> {
        match self {
            Self::Serve(serve) => Some(&mut serve.registry),
            Self::Doctor(doctor) => Some(&mut doctor.registry),
            _ => None,
        }
    }
}

/// Parses the arguments of the process. Requested help is an [`EarlyExit`] too.
pub fn from_process() -> Result<Command, EarlyExit> {
    read(std::env::args_os().collect())
}

/// Reads systemd's NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without a socket, the manager is inactive.
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
    // `curlew` without a command serves.
    let command = args.get(1).map(|first| first.to_string_lossy().into_owned());
    let is_top_level = |first: &str| !first.starts_with('-') || matches!(first, "-h" | "--help" | "-V" | "--version");
    if !command.as_deref().is_some_and(is_top_level) {
        args.insert(args.len().min(1), "serve".into());
    }
    let definition = match args.iter().any(|arg| arg == "-h") {
        true => print_command::short_help(definition()),
        false => definition(),
    };
    let is_config_check = args.iter().skip(1).take(2).eq(["config", "check"]);
    let mut merged = MergedArgs::new(&definition, args);
    let (cli, matches) = match (is_config_check, merged.errors.as_slice()) {
        (true, _) => parse_all(&definition, &mut merged)?,
        (false, []) => parse(&definition, &merged).map_err(|e| EarlyExit::from_clap(&e, &definition, &merged))?,
        (false, errors) => return Err(EarlyExit::from_file_errors(errors)),
    };
    match cli.invocation {
        Invocation::Run(mut command) => {
            if let Some(target) = command.target() {
                target.apply_precedence(&merged);
            }
            let properties = command.kafka().map(|kafka| kafka.connect()).transpose()?.unwrap_or_default();
            if let Some(registry) = command.registry() {
                registry.connect(properties).map_err(InvalidSettings::from)?;
            }
            match &mut *command {
                Command::Consume(consume) => consume.choose_output()?,
                Command::Produce(produce) => produce.check()?,
                Command::Serve(serve) => {
                    serve.check()?;
                    serve.file.overridden = merged.overridden;
                }
                _ => {}
            }
            Ok(*command)
        }
        Invocation::Print(command) => Err(command.run(definition, &matches, &merged)),
    }
}

fn parse(definition: &clap::Command, merged: &MergedArgs) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = definition.clone().try_get_matches_from(&merged.args)?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

/// Parses for `config check`. clap stops at the first invalid variable, so this records and removes one error at a time
/// until clap accepts the rest.
fn parse_all(definition: &clap::Command, merged: &mut MergedArgs) -> Result<(Cli, ArgMatches), EarlyExit> {
    let mut definition = definition.clone();
    loop {
        let error = match parse(&definition, merged) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        let exit = EarlyExit::from_clap(&error, &definition, merged);
        if let EarlyExit::Error(line) = &exit {
            merged.errors.push(line.clone());
        }
        let Some(id) = exit::invalid_variable(&error, &definition, merged) else {
            return Err(match exit {
                EarlyExit::Output(_) => exit,
                EarlyExit::Error(_) => EarlyExit::Error(merged.errors.join("\n")),
            });
        };
        let without = |check: clap::Command| check.mut_arg(id, |arg| arg.env(None::<&str>));
        definition = definition.mut_subcommand("config", |config| config.mut_subcommand("check", without));
    }
}

/// Returns the definition of all commands.
fn definition() -> clap::Command {
    command_texts::with_examples(print_command::hide_serve_settings(Cli::command()))
}

/// Parses a command line, which is split at blanks.
#[cfg(test)]
pub(crate) fn read_line(line: &str) -> Result<Command, EarlyExit> {
    read(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect())
}

#[cfg(test)]
mod tests;
