//! SASL credentials, and the client's side of each mechanism.

use super::ScramHash;
use super::scram::{Scram, ScramAccount, ScramError, ScramReply};
use super::token::{self, TokenCache};
use crate::broker::{BrokerError, Cause};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::time::Duration;

/// The credentials with which the bridge authenticates to Kafka, by mechanism.
#[derive(Debug)]
pub enum Sasl {
    /// The password itself (RFC 4616), for connections with TLS.
    Plain {
        /// The name of the user.
        username: String,
        /// The password of the user.
        password: Secret,
    },
    /// A proof of the password (RFC 5802).
    Scram {
        /// The hash function of the mechanism.
        hash: ScramHash,
        /// The name of the user, or the id of a delegation token.
        username: String,
        /// The password of the user, or the HMAC of a delegation token.
        password: Secret,
        /// The kind of account that `username` names.
        account: ScramAccount,
    },
    /// A bearer token (RFC 7628, KIP-255).
    OAuthBearer {
        /// Provides the token.
        tokens: TokenCache,
        /// SASL extensions that some brokers require (KIP-342).
        extensions: Vec<(String, String)>,
    },
}

/// The client's side of one authentication in progress.
pub struct SaslExchange {
    stage: SaslStage,
}

enum SaslStage {
    /// The first message contained everything; the broker's response decides.
    Sent,
    Scram(Box<Scram>),
    /// RFC 7628: a response with content is an error, and must be acknowledged before the broker reports the failure.
    Token(Secret),
}

/// The client's next step in an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum SaslStep {
    /// Send this message, and pass the response to [`SaslExchange::next`].
    Send(Vec<u8>),
    /// The client's side of the exchange is complete.
    Done,
}

impl Sasl {
    /// Returns the mechanism's name (`sasl.mechanism`).
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash, .. } => hash.mechanism(),
            Self::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    /// Returns the user's name. `None` for a delegation token, which does not name its owner, and for `OAUTHBEARER`
    /// before a token with a `sub` claim is fetched.
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Scram { account: ScramAccount::DelegationToken, .. } => None,
            Self::Plain { username, .. } | Self::Scram { username, .. } => Some(username.clone()),
            Self::OAuthBearer { tokens, .. } => tokens.user(),
        }
    }

    /// Starts an authentication and returns its first message. May fetch a token from an authorization server, which
    /// blocks for about `timeout`.
    pub fn begin(&self, timeout: Duration) -> Result<(SaslExchange, Vec<u8>), BrokerError> {
        let (stage, first) = match self {
            Self::Plain { username, password } => {
                (SaslStage::Sent, format!("\0{username}\0{}", password.reveal()).into_bytes())
            }
            Self::Scram { hash, username, password, account } => {
                let scram = Scram::new(*hash, username, password.clone(), *account, nonce()?);
                let first = scram.first().into_bytes();
                (SaslStage::Scram(Box::new(scram)), first)
            }
            Self::OAuthBearer { tokens, extensions } => {
                let token = tokens.get(timeout)?;
                let extensions: String = extensions.iter().map(|(name, value)| format!("{name}={value}\x01")).collect();
                let first = format!("n,,\x01auth=Bearer {}\x01{extensions}\x01", token.reveal()).into_bytes();
                (SaslStage::Token(token), first)
            }
        };
        Ok((SaslExchange { stage }, first))
    }

    /// Returns the error for the broker's rejection of these credentials, and discards a rejected token. `message` is the
    /// broker's, `hint` a possible reason that the credentials themselves show.
    pub fn rejected(&self, message: Option<String>, hint: Option<&'static str>) -> RejectedCredentials {
        let account = match self {
            Self::Scram { username, account: ScramAccount::DelegationToken, .. } => {
                SaslAccount::DelegationToken(username.clone())
            }
            Self::Plain { username, .. } | Self::Scram { username, .. } => SaslAccount::User(username.clone()),
            Self::OAuthBearer { tokens, .. } => {
                tokens.expire();
                SaslAccount::BearerToken(tokens.describe())
            }
        };
        RejectedCredentials { mechanism: self.mechanism(), account, message, hint }
    }
}

/// The broker's rejection of the bridge's credentials. The text is about the broker ("it").
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RejectedCredentials {
    /// The SASL mechanism.
    pub mechanism: &'static str,
    /// The account that the credentials are for.
    pub account: SaslAccount,
    /// The broker's message, if it sent one.
    pub message: Option<String>,
    /// A possible reason that the credentials themselves show.
    pub hint: Option<&'static str>,
}

/// The account of SASL credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslAccount {
    /// A user, by name.
    User(String),
    /// A delegation token (KIP-48), by id.
    DelegationToken(String),
    /// The account of a token, by the file or URL of the token.
    BearerToken(String),
}

impl fmt::Display for RejectedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.mechanism;
        match &self.account {
            SaslAccount::User(name) => write!(f, "it rejects the bridge as User:{name} by {mechanism}: ")?,
            SaslAccount::DelegationToken(id) => write!(f, "it rejects the delegation token {id:?} by {mechanism}: ")?,
            SaslAccount::BearerToken(source) => write!(f, "it rejects the token from {source} by {mechanism}: ")?,
        }
        f.write_str(self.message.as_deref().unwrap_or("it gives no reason"))?;
        if let Some(hint) = self.hint {
            write!(f, "; {hint}")?;
        }
        match &self.account {
            SaslAccount::User(_) => f.write_str(
                "; check username and password in sasl.jaas.config, and that the user exists for this mechanism",
            ),
            SaslAccount::DelegationToken(_) => {
                f.write_str("; check id and HMAC in sasl.jaas.config, and that the token has not expired")
            }
            SaslAccount::BearerToken(_) => Ok(()),
        }
    }
}

impl SaslExchange {
    /// Handles the broker's next message. Fails if the broker breaks the protocol of the mechanism or does not prove that it
    /// knows the password.
    pub fn next(&mut self, message: &[u8]) -> Result<SaslStep, ScramError> {
        match &mut self.stage {
            SaslStage::Sent => Ok(SaslStep::Done),
            SaslStage::Scram(scram) => {
                let message = String::from_utf8_lossy(message);
                Ok(match scram.next(&message)? {
                    ScramReply::Send(text) => SaslStep::Send(text.into_bytes()),
                    ScramReply::Done => SaslStep::Done,
                })
            }
            SaslStage::Token(_) if message.is_empty() => Ok(SaslStep::Done),
            SaslStage::Token(_) => Ok(SaslStep::Send(vec![1])),
        }
    }

    /// Returns a possible reason for a rejection that the credentials themselves show.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.stage {
            SaslStage::Token(token) => token::rejection_hint(token),
            SaslStage::Sent | SaslStage::Scram(_) => None,
        }
    }
}

/// The operating system fails to provide random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system provides no random numbers: {0}")]
struct NoRandomNumbers(#[source] getrandom::Error);

/// Returns 144 random bits in base64.
fn nonce() -> Result<String, BrokerError> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| BrokerError::Internal(Cause::new(NoRandomNumbers(error))))?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::kafka::security::token::{TokenCache, TokenSource};
    use std::time::Duration;

    #[test]
    fn a_missing_token_file_is_not_a_missing_broker() {
        let tokens = TokenCache::new(TokenSource::File("/nowhere/token".into()));
        let error = tokens.get(Duration::from_secs(5)).map(drop).unwrap_err();
        let text = "the bridge has no credentials for Kafka: no token in /nowhere/token: ";
        assert!(error.to_string().starts_with(text), "{error}");
    }
}
