//! One `KafkaClient`, made anew after whatever broke it.

use crate::broker::{BrokerError, Operation};
use crate::kafka::wire::errors::{Asked, check};
use crate::kafka::wire::{self, Settings};
use crate::record::{TopicName, TopicPartition};
use kafka::Error;
use kafka::client::KafkaClient;
use kafka_protocol::messages::ApiKey;
use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A connection to each broker of a cluster, for one thread at a time.
pub struct Client {
    settings: Settings,
    kafka: Option<KafkaClient>,
}

/// Why a call failed.
#[derive(Debug)]
pub enum Failure {
    /// No connection came about, so nothing was sent.
    NotSent(BrokerError),
    /// What was sent may have been understood.
    Cut(BrokerError),
    /// The broker answered, or nothing had to be sent.
    Answered(BrokerError),
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error) | Failure::Cut(error) | Failure::Answered(error) => error,
        }
    }
}

impl Client {
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), kafka: None }
    }

    pub fn call<T>(&mut self, ask: impl FnOnce(&mut KafkaClient) -> Result<T, Error>) -> Result<T, BrokerError> {
        Ok(self.try_call(ask)?)
    }

    /// A client that was broken is made anew for the next call. The crate panics on some bytes that
    /// are not Kafka's (negative lengths, a partition out of range), so a panic breaks only the client.
    pub fn try_call<T>(&mut self, ask: impl FnOnce(&mut KafkaClient) -> Result<T, Error>) -> Result<T, Failure> {
        let mut kafka = match self.kafka.take() {
            Some(kafka) => kafka,
            None => self.connect().map_err(Failure::NotSent)?,
        };
        let failure = match catch_unwind(AssertUnwindSafe(|| ask(&mut kafka))) {
            Ok(Ok(answer)) => {
                self.kafka = Some(kafka);
                return Ok(answer);
            }
            Ok(Err(error)) => failure(&error),
            Err(_) => Failure::Cut(BrokerError::Corrupt("bytes that are not Kafka's protocol".to_owned())),
        };
        match failure {
            Failure::Answered(_) => self.kafka = Some(kafka),
            Failure::Cut(_) if self.is_refused() => return Err(Failure::Answered(old_protocol_refused())),
            _ => {}
        }
        Err(failure)
    }

    /// Of the brokers given, the first that can be reached: the crate would wait for minutes.
    fn connect(&self) -> Result<KafkaClient, BrokerError> {
        let mut why = "no address of a broker was given".to_owned();
        for broker in &self.settings.bootstrap {
            match reach(broker, &self.settings) {
                Ok(()) => {
                    let mut kafka = KafkaClient::new(vec![broker.clone()]);
                    kafka.set_client_id(self.settings.client_id.clone());
                    kafka.set_fetch_min_bytes(1);
                    return Ok(kafka);
                }
                Err(e) => why = format!("{broker}: {e}"),
            }
        }
        Err(BrokerError::Unavailable(why))
    }

    /// Whether the broker has cut the connection because it no longer knows the old protocol.
    fn is_refused(&self) -> bool {
        let versions = wire::api_versions(&self.settings);
        versions.is_ok_and(|versions| versions.range(ApiKey::Fetch).is_some_and(|range| range.min > 0))
    }
}

fn reach(broker: &str, settings: &Settings) -> std::io::Result<()> {
    let mut result = Err(std::io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in broker.to_socket_addrs()? {
        result = TcpStream::connect_timeout(&address, settings.connect_timeout).map(drop);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn old_protocol_refused() -> BrokerError {
    BrokerError::Unsupported("the broker refuses the old protocol; use --driver wire".to_owned())
}

fn failure(error: &Error) -> Failure {
    match error {
        // These come from connecting only.
        Error::Io(e)
            if matches!(
                e.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::AddrNotAvailable
            ) =>
        {
            Failure::NotSent(BrokerError::Unavailable(e.to_string()))
        }
        Error::NoHostReachable => Failure::NotSent(BrokerError::Unavailable("no broker can be reached".to_owned())),
        Error::Io(e) => Failure::Cut(BrokerError::Unavailable(e.to_string())),
        Error::Kafka(code) => Failure::Answered(answered(*code as i16, Asked::Cluster)),
        Error::TopicPartitionError { topic_name, partition_id, error_code } => {
            let code = *error_code as i16;
            Failure::Answered(match TopicName::new(topic_name) {
                Ok(topic) => answered(
                    code,
                    Asked::Place(&TopicPartition { topic, partition: *partition_id }, Operation::Describe),
                ),
                Err(_) => answered(code, Asked::Cluster),
            })
        }
        Error::ArcSelf(inner) => failure(inner),
        Error::UnsupportedCompression => Failure::Answered(BrokerError::Unsupported(
            "the records are compressed with lz4 or zstd, which the crate driver cannot read; use --driver wire"
                .to_owned(),
        )),
        Error::UnsupportedProtocol => Failure::Answered(old_protocol_refused()),
        // The rest of a damaged answer may still be on its way.
        other => Failure::Cut(BrokerError::Corrupt(other.to_string())),
    }
}

/// The error that a code other than 0 stands for.
pub fn answered(code: i16, asked: Asked<'_>) -> BrokerError {
    // The crate gives all later codes as this one.
    let unknown = (code == -1).then_some(
        "an error that the crate driver does not know (records compressed with zstd are one); --driver wire tells more",
    );
    check(code, asked, unknown).err().unwrap_or(BrokerError::Lost)
}
