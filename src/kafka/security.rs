//! How the bridge and a broker make sure of each other: TLS, and SASL on top of it or alone.

mod explain;
mod sasl;
mod scram;
mod secret;
mod tls;
mod token;
mod verifier;

pub use explain::explain;
pub use sasl::{Exchange, Sasl, Step};
pub use scram::{Account, Hash};
pub use secret::Secret;
pub use tls::{BrokerTls, NameCheck, TlsIdentity, Trust, Versions, roots_of};
pub use token::{TokenClient, TokenSource, Tokens};

use std::sync::Arc;

/// Of all connections to one cluster. Without either it is Kafka's `PLAINTEXT`.
#[derive(Debug, Clone, Default)]
pub struct Security {
    pub tls: Option<Arc<BrokerTls>>,
    pub sasl: Option<Arc<Sasl>>,
}

impl Security {
    pub fn is_on(&self) -> bool {
        self.tls.is_some() || self.sasl.is_some()
    }

    /// Kafka's name for it.
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Kafka's name for it, with the mechanism: `SASL_SSL SCRAM-SHA-512`.
    pub fn describe(&self) -> String {
        match &self.sasl {
            None => self.protocol().to_owned(),
            Some(sasl) => format!("{} {}", self.protocol(), sasl.mechanism()),
        }
    }

    /// Whom the broker's rules are about, as far as that is known here: `User:alice`.
    pub fn principal(&self) -> Option<String> {
        self.sasl.as_ref().and_then(|sasl| sasl.user()).map(|user| format!("User:{user}"))
    }
}
