//! The commands of the terminal: `consume`, `produce`, `topics`, `doctor`, `key`, `health`. Also the data of `demo`.

mod bridge_client;
mod consume;
pub mod demo;
mod doctor;
mod envelope;
mod error;
mod from_bridge;
mod health;
mod key;
mod lines;
mod output;
mod pace;
mod produce;
mod progress;
mod sse;
mod to_bridge;
mod topics;

pub use consume::consume;
pub use doctor::doctor;
pub use health::health;
pub use key::key;
pub use produce::produce;
pub use topics::topics;

use crate::os::closed_pipe::wait_until_closed;
use crate::os::signal::Signals;
use crate::os::terminal_escapes::Destination;
use error::CommandError;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Prints one line to standard error, and ignores failures.
fn report(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(io::stderr(), "curlew: {}", Destination::of(&io::stderr()).text(&line));
}

/// Reports an error, and returns the exit code.
fn exit(result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error);
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)
}

/// Whether a command goes on when nobody reads its standard output any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClosedOutput {
    Ignored,
    /// Otherwise `curlew consume t | head -1` would end only at the next record.
    Ends,
}

/// Runs `work` until it ends or a signal arrives. At a signal, `stop` either returns the result, or makes `work` end and
/// returns `None`. A second signal ends the command at once.
fn until_signal(
    work: impl FnOnce() -> Result<(), CommandError> + Send + 'static,
    stop: impl FnOnce() -> Option<Result<(), CommandError>> + Send + 'static,
    closed_output: ClosedOutput,
) -> Result<(), CommandError> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch().map_err(CommandError::Signals)?;
        let mut work = tokio::task::spawn_blocking(work);
        let failed = |e: tokio::task::JoinError| Err(CommandError::Panic(e));
        tokio::select! {
            result = &mut work => return result.unwrap_or_else(failed),
            () = signals.next() => {}
            // Its thread ends with the process.
            Ok(()) = tokio::task::spawn_blocking(|| wait_until_closed(&io::stdout())), if closed_output == ClosedOutput::Ends => {
                return Ok(());
            }
        }
        let stopped = tokio::task::spawn_blocking(stop);
        let ending = async {
            match stopped.await {
                Ok(Some(result)) => result,
                Ok(None) => work.await.unwrap_or_else(failed),
                Err(e) => failed(e),
            }
        };
        tokio::select! {
            result = ending => result,
            () = signals.next() => Ok(()),
        }
    });
    // `work` may be blocked on input that never arrives.
    runtime.shutdown_background();
    result
}

/// Interprets the result of a write to standard output. A closed pipe (`| head`) is not an error.
fn print_outcome(result: io::Result<()>) -> Result<PrintOutcome, CommandError> {
    match result {
        Ok(()) => Ok(PrintOutcome::Printed),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(PrintOutcome::PipeClosed),
        Err(e) => Err(CommandError::Stdout(e)),
    }
}

/// Whether standard output still accepts output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrintOutcome {
    Printed,
    PipeClosed,
}
