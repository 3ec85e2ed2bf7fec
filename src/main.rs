//! Arguments to exit code: parse, connect, serve, drain.

use curlew::commands::{consume, produce};
use curlew::config::{self, Command, Stop};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match config::from_process() {
        Ok(command) => command,
        Err(stop) => return say(&stop),
    };
    curlew::logging::start(command.log_level());
    match command {
        Command::Serve(_settings) => ExitCode::FAILURE,
        Command::Consume(settings) => consume(settings),
        Command::Produce(settings) => produce(settings),
    }
}

/// A pipe that nobody reads is no reason to fail otherwise.
fn say(stop: &Stop) -> ExitCode {
    match stop {
        Stop::Shown(text) => {
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Stop::Refused(_) => {
            let _ = writeln!(std::io::stderr(), "{stop}");
            ExitCode::from(2)
        }
    }
}
