//! Failures of commands. Each is reported as one line on standard error.

use super::bridge_client::{BridgeProblem, ClientError, TargetError};
use super::envelope::RecordLineError;
use super::progress::ProduceError;
use crate::auth::{HashError, NoRandomBytes};
use crate::broker::BrokerError;
use crate::cursor::CursorError;
use crate::hub::Rejected;
use crate::tls::UnsupportedCpu;
use std::io;
use thiserror::Error;
use tokio::task::JoinError;

#[derive(Debug, Error)]
pub enum CommandError {
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// The command panicked.
    #[error("the command failed: {0}")]
    Panic(#[source] JoinError),
    #[error("cannot read standard input: {0}")]
    Stdin(#[source] io::Error),
    #[error("cannot write to standard output: {0}")]
    Stdout(#[source] io::Error),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Problem(#[from] BridgeProblem),
    #[error("the bridge sent an unreadable record: {0}")]
    UnreadableRecord(#[from] RecordLineError),
    #[error("the bridge sent an unreadable list of topics: {0}")]
    UnreadableTopics(#[source] serde_json::Error),
    /// The response of the bridge is missing or incomplete.
    #[error("{0}; the topic may have been created")]
    CreationUnconfirmed(#[source] ClientError),
    #[error("the bridge sent a line that is longer than any record")]
    LongLine,
    #[error(transparent)]
    Start(#[from] CursorError),
    #[error("cannot read: {0}")]
    Subscribe(#[source] Rejected),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Contains the description of a gap.
    #[error("{0}; the output is incomplete")]
    Gap(String),
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// Contains the minimum number of characters.
    #[error("the password on standard input is shorter than {0} characters")]
    ShortPassword(usize),
    #[error(transparent)]
    Random(#[from] NoRandomBytes),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("{url} responded with {status}")]
    Unhealthy { url: String, status: hyper::StatusCode },
    #[error("{url} does not respond: {source}")]
    Unreachable { url: String, source: ureq::Error },
    #[error(transparent)]
    Tls(#[from] UnsupportedCpu),
}
