//! Every setting: flag, variable, default, check. The only place that reads arguments and environment.

mod data;
mod demo;
mod kafka;
mod refusal;
mod serve;
mod terminal;
mod values;

pub use demo::{Demo, DemoFolder};
pub use refusal::Stop;
pub use serve::Serve;
pub use terminal::{Consume, Export, LineFormat, OnGap, Produce, Separator, Source, Via};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use log::LevelFilter;
use std::ffi::OsString;

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
        }
        .into()
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
            produce.check()?;
        }
        Command::Export(export) => {
            under("export").into_iter().for_each(|m| export.source.prefer_what_was_typed(m));
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
