//! `--kafka-config FILE`: the `client.properties` of Kafka's own clients and tools. librdkafka's names are accepted too.

mod error;
mod jaas;
mod pem;
mod registry;
mod sasl;
mod text;
mod tls;
mod unsupported;

pub use error::ClientPropertiesError;
pub use registry::{RegistryProperties, RegistryTlsProperties};

use super::invalid_value::InvalidValue;
use super::values;
use crate::kafka::security::Security;
use crate::os::small_file;
use crate::tls::Trust;
use error::PropertyError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The checked content of the file.
#[derive(Debug)]
pub struct ClientProperties {
    /// `host:port` of the bootstrap brokers; may be empty.
    pub bootstrap: Vec<String>,
    pub client_id: Option<String>,
    /// `max.request.size`.
    pub max_request_bytes: Option<usize>,
    pub security: Security,
    pub registry: RegistryProperties,
    /// Lines for the log at startup: ignored properties, and insecure settings.
    pub notes: Vec<String>,
}

impl ClientProperties {
    /// Reads and checks a file. Neither errors nor notes contain passwords.
    pub fn read(path: &Path) -> Result<Self, ClientPropertiesError> {
        let text = small_file::read_once(path).map_err(PropertyError::Unreadable);
        let mut read = text
            .and_then(|text| parse(&text::decode(&text)))
            .map_err(|source| ClientPropertiesError { path: path.to_owned(), source: Box::new(source) })?;
        read.notes.iter_mut().for_each(|note| *note = format!("--kafka-config {}: {note}", path.display()));
        Ok(read)
    }
}

fn parse(text: &str) -> Result<ClientProperties, PropertyError> {
    let mut properties = Properties(text::parse(text));
    if properties.take("config.providers").is_some() {
        return Err(PropertyError::ConfigProviders);
    }
    let bootstrap = properties.take_either("bootstrap.servers", "metadata.broker.list").unwrap_or_default();
    let bootstrap = bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()).map(broker);
    let bootstrap = bootstrap.collect::<Result<_, _>>().map_err(PropertyError::BootstrapServers)?;
    let client_id = properties.take("client.id").filter(|id| !id.trim().is_empty());
    let max_request_bytes = properties.max_request_bytes()?;
    let mut notes = Vec::new();
    let protocol = Protocol::of(&mut properties)?;
    // Files that this protocol does not need are not read: such properties may be left over from another listener, and
    // their files may be gone.
    let token_endpoint_uses_tls = protocol.has_sasl() && sasl::endpoint(&properties).starts_with("https://");
    let trust =
        if protocol.has_tls() || token_endpoint_uses_tls { tls::trust(&mut properties)? } else { Trust::System };
    let tls = protocol.has_tls().then(|| tls::read(&mut properties, trust.clone())).transpose()?;
    let sasl = protocol.has_sasl().then(|| sasl::read(&mut properties, trust)).transpose()?;
    let (registry, unread) = registry::read(&mut properties, sasl.as_ref())?;
    unsupported::check_unread(unread, Protocol::Ssl).map_err(|error| PropertyError::OfRegistry(Box::new(error)))?;
    if protocol == Protocol::SaslPlaintext {
        notes.push("SASL_PLAINTEXT sends everything unencrypted, credentials of PLAIN and OAUTHBEARER too".to_owned());
    }
    notes.extend(tls.as_ref().and_then(tls::note));
    notes.extend(sasl.as_ref().and_then(sasl::note));
    notes.extend(unsupported::check_unread(properties.0, protocol)?);
    Ok(ClientProperties {
        bootstrap,
        client_id,
        max_request_bytes,
        registry,
        security: Security { tls: tls.map(|tls| Arc::new(tls.client)), sasl: sasl.map(Arc::new) },
        notes,
    })
}

/// Parses an entry of `bootstrap.servers`, where Kafka allows a listener name before the address: `SASL_SSL://kafka:9093`.
fn broker(text: &str) -> Result<String, InvalidValue> {
    values::broker(text.split_once("://").map_or(text, |(_, address)| address))
}

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn of(properties: &mut Properties) -> Result<Self, PropertyError> {
        let Some(given) = properties.take("security.protocol") else {
            // Kafka's clients would use plain text, which contradicts these properties.
            let is_security = |name: &&String| name.starts_with("sasl.") || name.starts_with("ssl.");
            return match properties.0.keys().find(is_security) {
                Some(name) => Err(PropertyError::MissingProtocol(name.clone())),
                None => Ok(Self::Plaintext),
            };
        };
        match given.trim().to_uppercase().as_str() {
            "PLAINTEXT" => Ok(Self::Plaintext),
            "SSL" => Ok(Self::Ssl),
            "SASL_PLAINTEXT" => Ok(Self::SaslPlaintext),
            "SASL_SSL" => Ok(Self::SaslSsl),
            other => Err(PropertyError::UnknownProtocol(other.to_owned())),
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// The properties that have not been read yet.
struct Properties(BTreeMap<String, String>);

impl Properties {
    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Removes a property by Kafka's name or librdkafka's name. Kafka's takes precedence.
    fn take_either(&mut self, name: &str, other: &str) -> Option<String> {
        let other = self.take(other);
        self.take(name).or(other)
    }

    /// Removes Kafka's `max.request.size` or librdkafka's `message.max.bytes`.
    fn max_request_bytes(&mut self) -> Result<Option<usize>, PropertyError> {
        let Some(given) = self.take_either("max.request.size", "message.max.bytes") else { return Ok(None) };
        let bytes = given.trim().parse::<usize>().ok().filter(|bytes| (1..=i32::MAX as usize).contains(bytes));
        bytes.map(Some).ok_or(PropertyError::MaxRequestSize(given))
    }

    /// Removes a property and trims it. Returns `None` if it is missing or empty.
    fn word(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
