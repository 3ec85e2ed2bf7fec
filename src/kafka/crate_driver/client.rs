//! A `KafkaClient` that is recreated after a failure.

use super::failure::{CorruptResponse, OldProtocolLimit};
use crate::broker::{BrokerError, Cause, Operation};
use crate::kafka::wire::cluster::NoBroker;
use crate::kafka::wire::errors::{ErrorContext, check};
use crate::kafka::wire::socket::{ConnectionStep, io_error};
use crate::kafka::wire::{self, WireSettings};
use crate::record::{TopicName, TopicPartition};
use kafka::Error;
use kafka::client::KafkaClient;
use kafka_protocol::messages::ApiKey;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Connections to the brokers of a cluster, for one thread at a time.
pub struct CrateClient {
    settings: WireSettings,
    kafka: Option<KafkaClient>,
}

/// Why a call failed, and whether a broker may have processed the request.
#[derive(Debug)]
pub enum CrateError {
    /// No connection was established, so nothing was sent.
    NotSent(BrokerError),
    /// The connection failed after the request was sent, so the broker may have processed it.
    Cut(BrokerError),
    /// The broker responded with an error, or nothing had to be sent.
    Answered(BrokerError),
}

impl From<CrateError> for BrokerError {
    fn from(failure: CrateError) -> Self {
        match failure {
            CrateError::NotSent(error) | CrateError::Cut(error) | CrateError::Answered(error) => error,
        }
    }
}

impl CrateClient {
    /// Creates a client that connects on the first call.
    pub fn new(settings: &WireSettings) -> Self {
        Self { settings: settings.clone(), kafka: None }
    }

    /// Like [`try_call`](Self::try_call), without the distinction whether a broker may have processed the request.
    pub fn call<T>(&mut self, ask: impl FnOnce(&mut KafkaClient) -> Result<T, Error>) -> Result<T, BrokerError> {
        Ok(self.try_call(ask)?)
    }

    /// Calls `ask` with the client, which is recreated for the next call if this one breaks the connection.
    ///
    /// The crate panics on some malformed bytes (negative lengths, a partition out of range). A panic is caught and
    /// discards only the client.
    pub fn try_call<T>(&mut self, ask: impl FnOnce(&mut KafkaClient) -> Result<T, Error>) -> Result<T, CrateError> {
        let mut kafka = match self.kafka.take() {
            Some(kafka) => kafka,
            None => self.connect().map_err(CrateError::NotSent)?,
        };
        let failure = match catch_unwind(AssertUnwindSafe(|| ask(&mut kafka))) {
            Ok(Ok(response)) => {
                self.kafka = Some(kafka);
                return Ok(response);
            }
            Ok(Err(error)) => failure(&error),
            Err(_) => CrateError::Cut(CorruptResponse::Malformed.into()),
        };
        match failure {
            CrateError::Answered(_) => self.kafka = Some(kafka),
            CrateError::Cut(_) if self.is_refused() => {
                return Err(CrateError::Answered(OldProtocolLimit::Rejected.into()));
            }
            _ => {}
        }
        Err(failure)
    }

    /// Connects to the first bootstrap server that can be reached. The crate would wait for minutes on one that cannot.
    fn connect(&self) -> Result<KafkaClient, BrokerError> {
        let mut failures = Vec::new();
        for broker in &self.settings.bootstrap {
            match probe(broker, &self.settings) {
                Ok(()) => {
                    let mut kafka = KafkaClient::new(vec![broker.clone()]);
                    kafka.set_client_id(self.settings.client_id.clone());
                    kafka.set_fetch_min_bytes(1);
                    return Ok(kafka);
                }
                Err(error) => failures.push(io_error(broker, ConnectionStep::Connect, error, None)),
            }
        }
        Err(BrokerError::Unavailable(Cause::new(NoBroker { failures })))
    }

    /// Returns whether the broker closed the connection because it no longer supports the old protocol.
    fn is_refused(&self) -> bool {
        let versions = wire::api_versions(&self.settings);
        versions.is_ok_and(|versions| versions.range(ApiKey::Fetch).is_some_and(|range| range.min > 0))
    }
}

fn probe(broker: &str, settings: &WireSettings) -> std::io::Result<()> {
    let mut result = Err(std::io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in broker.to_socket_addrs()? {
        result = TcpStream::connect_timeout(&address, settings.connect_timeout).map(drop);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn failure(error: &Error) -> CrateError {
    match error {
        // These errors occur only while connecting.
        Error::Io(e)
            if matches!(
                e.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::AddrNotAvailable
            ) =>
        {
            CrateError::NotSent(unavailable(e))
        }
        Error::NoHostReachable => CrateError::NotSent(BrokerError::Unavailable("no broker can be reached".into())),
        Error::Io(e) => CrateError::Cut(unavailable(e)),
        Error::Kafka(code) => CrateError::Answered(error_for_code(*code as i16, ErrorContext::Cluster)),
        Error::TopicPartitionError { topic_name, partition_id, error_code } => {
            let code = *error_code as i16;
            CrateError::Answered(match TopicName::new(topic_name) {
                Ok(topic) => error_for_code(
                    code,
                    ErrorContext::Partition(&TopicPartition { topic, partition: *partition_id }, Operation::Describe),
                ),
                Err(_) => error_for_code(code, ErrorContext::Cluster),
            })
        }
        Error::ArcSelf(inner) => failure(inner),
        Error::UnsupportedCompression => CrateError::Answered(OldProtocolLimit::Compression.into()),
        Error::UnsupportedProtocol => CrateError::Answered(OldProtocolLimit::Rejected.into()),
        // The rest of a damaged response may still arrive on the connection.
        other => CrateError::Cut(CorruptResponse::Other(other.to_string()).into()),
    }
}

/// Copies the kind and the text of an error that the crate does not give away.
fn unavailable(error: &std::io::Error) -> BrokerError {
    BrokerError::Unavailable(Cause::new(std::io::Error::new(error.kind(), error.to_string())))
}

/// Returns the error for a code other than 0.
pub fn error_for_code(code: i16, context: ErrorContext<'_>) -> BrokerError {
    // The crate returns -1 for every code that it does not know.
    let unknown = (code == -1).then_some(
        "an error code that the crate driver does not know (one of them is for records compressed with zstd); driver wire \
         reports it",
    );
    check(code, context, unknown).err().unwrap_or(BrokerError::LostTrack)
}
