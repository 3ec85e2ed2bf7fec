//! TLS and SASL: how the bridge and the brokers authenticate each other.

mod explain;
mod sasl;
mod scram;
mod token;
mod token_error;

pub use explain::TlsFailure;
pub use sasl::{RejectedCredentials, Sasl, SaslAccount, SaslExchange, SaslStep};
pub use scram::{ScramAccount, ScramError, ScramHash};
pub use token::{TokenCache, TokenClient, TokenSource};
pub use token_error::TokenError;

use crate::tls::ClientTls;
use std::sync::Arc;

/// TLS and SASL of all connections to one cluster. Without both, the protocol is `PLAINTEXT`.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// `None` for connections without encryption.
    pub tls: Option<Arc<ClientTls>>,
    /// `None` for connections without SASL authentication.
    pub sasl: Option<Arc<Sasl>>,
}

impl Security {
    /// Returns whether TLS or SASL is configured.
    pub fn is_on(&self) -> bool {
        self.tls.is_some() || self.sasl.is_some()
    }

    /// Returns Kafka's name of the protocol (`security.protocol`).
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Returns the protocol with the SASL mechanism: `SASL_SSL SCRAM-SHA-512`.
    pub fn describe(&self) -> String {
        match &self.sasl {
            None => self.protocol().to_owned(),
            Some(sasl) => format!("{} {}", self.protocol(), sasl.mechanism()),
        }
    }

    /// Returns the principal in the brokers' ACLs (`User:alice`), if the credentials contain its name.
    pub fn principal(&self) -> Option<String> {
        self.sasl.as_ref().and_then(|sasl| sasl.user()).map(|user| format!("User:{user}"))
    }
}
