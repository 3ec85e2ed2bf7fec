//! Errors in a `client.properties` file. No text contains a password.

use super::registry::RegistryPropertyError;
use super::sasl::SaslPropertyError;
use super::tls::TlsPropertyError;
use crate::config::invalid_value::InvalidValue;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An error in the file of --kafka-config.
#[derive(Debug, Error)]
#[error("--kafka-config {}: {source}", .path.display())]
pub struct ClientPropertiesError {
    pub path: PathBuf,
    /// On the heap, because it is large.
    pub source: Box<PropertyError>,
}

/// An invalid or unsupported property.
#[derive(Debug, Error)]
pub enum PropertyError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error(
        "config.providers is not supported; write the values themselves into the file, and let only the bridge's user \
         read it"
    )]
    ConfigProviders,
    #[error("bootstrap.servers: {0}")]
    BootstrapServers(#[source] InvalidValue),
    #[error("max.request.size is {0:?}; give a number of bytes from 1 to {max}", max = i32::MAX)]
    MaxRequestSize(String),
    #[error("security.protocol is {0:?}; {PROTOCOLS}")]
    UnknownProtocol(String),
    /// Contains the name of a security property.
    #[error("there is {0} but no security.protocol; {PROTOCOLS}")]
    MissingProtocol(String),
    #[error("there is no property {name}{}", did_you_mean(.similar))]
    Unknown { name: String, similar: Option<&'static str> },
    #[error("{name} is not supported: {reason}; remove it if that is acceptable")]
    Unsupported { name: String, reason: &'static str },
    #[error("schema.registry: {0}")]
    OfRegistry(#[source] Box<Self>),
    #[error(transparent)]
    Registry(#[from] RegistryPropertyError),
    #[error(transparent)]
    Sasl(#[from] SaslPropertyError),
    #[error(transparent)]
    Tls(#[from] TlsPropertyError),
}

const PROTOCOLS: &str = "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL as security.protocol";

fn did_you_mean(similar: &Option<&'static str>) -> String {
    similar.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}
