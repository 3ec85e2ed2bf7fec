//! `consume`, `produce` and `doctor` on the terminal.

mod bridge_client;
mod consume;
pub mod demo;
mod doctor;
mod envelope;
mod from_bridge;
mod health;
mod key;
mod lines;
mod output;
mod produce;
mod progress;
mod sse;
mod to_bridge;

pub use consume::consume;
pub use doctor::doctor;
pub use health::health;
pub use key::key;
pub use produce::produce;

use crate::os::signal::Signals;
use crate::os::terminal::Destination;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// One line on standard error. Whether anybody reads it changes nothing.
fn say(line: impl Display) {
    let line = line.to_string();
    let _ = writeln!(io::stderr(), "curlew: {}", Destination::of(&io::stderr()).text(&line));
}

/// A command's end, with one line on standard error where it failed.
fn exit(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            say(line);
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|e| format!("cannot start: {e}"))
}

/// Runs `work` until it ends, or until a signal: then `stop` makes it end, unless it has its own
/// result. A second signal ends the process at once.
fn until_signal(
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
    stop: impl FnOnce() -> Option<Result<(), String>> + Send + 'static,
) -> Result<(), String> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::catch().map_err(|e| format!("cannot listen for signals: {e}"))?;
        let mut work = tokio::task::spawn_blocking(work);
        let failed = |e: tokio::task::JoinError| Err(format!("failed: {e}"));
        tokio::select! {
            result = &mut work => return result.unwrap_or_else(failed),
            () = signals.next() => {}
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
    // What still runs may wait for input that never comes.
    runtime.shutdown_background();
    result
}

/// Whether output goes on. A reader that has closed its pipe (`| head`) is no error.
fn written(result: io::Result<()>) -> Result<PrintOutcome, String> {
    match result {
        Ok(()) => Ok(PrintOutcome::Yes),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(PrintOutcome::NobodyReads),
        Err(e) => Err(format!("cannot write to standard output: {e}")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrintOutcome {
    Yes,
    NobodyReads,
}
