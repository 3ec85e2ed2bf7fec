//! Credentials, and the messages that prove them to a broker.

use super::scram::{Account, Reply, Scram};
use super::token::{self, Tokens};
use super::{Hash, Secret};
use crate::broker::BrokerError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

/// Who the bridge is to Kafka.
#[derive(Debug)]
pub enum Sasl {
    Plain {
        username: String,
        password: Secret,
    },
    Scram {
        hash: Hash,
        username: String,
        password: Secret,
        account: Account,
    },
    OAuthBearer {
        tokens: Tokens,
        /// Names and values that some brokers want besides (KIP-342).
        extensions: Vec<(String, String)>,
    },
}

/// One authentication under way.
pub struct Exchange<'a> {
    sasl: &'a Sasl,
    stage: SaslStage,
}

enum SaslStage {
    /// One message says it all; what the broker answers decides.
    Said,
    Scram(Box<Scram>),
    /// RFC 7628: an answer with content is an error, and must be answered before the broker gives up.
    Token(Secret),
}

/// What to do after a message of the broker's.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    Done,
}

impl Sasl {
    /// As Kafka calls it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash, .. } => hash.mechanism(),
            Self::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    /// `None` where no token has told yet, and where a delegation token stands for its owner, whom it does not name.
    pub fn user(&self) -> Option<String> {
        match self {
            Self::Scram { account: Account::DelegationToken, .. } => None,
            Self::Plain { username, .. } | Self::Scram { username, .. } => Some(username.clone()),
            Self::OAuthBearer { tokens, .. } => tokens.user(),
        }
    }

    /// The first message. May ask an authorization server for a token, which may take `timeout`, about.
    pub fn begin(&self, timeout: Duration) -> Result<(Exchange<'_>, Vec<u8>), BrokerError> {
        let (stage, first) = match self {
            Self::Plain { username, password } => {
                (SaslStage::Said, format!("\0{username}\0{}", password.reveal()).into_bytes())
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
        Ok((Exchange { sasl: self, stage }, first))
    }

    /// What to say where the broker refuses these credentials with `why`.
    pub fn refused(&self, why: &str) -> String {
        let mechanism = self.mechanism();
        match self {
            Self::Scram { username, account: Account::DelegationToken, .. } => format!(
                "it does not accept the delegation token {username:?} by {mechanism}: {why}; check id and HMAC in \
                 sasl.jaas.config, and that the token has not expired"
            ),
            Self::Plain { username, .. } | Self::Scram { username, .. } => format!(
                "it does not accept the bridge as User:{username} by {mechanism}: {why}; check username and password of \
                 sasl.jaas.config, and that the user exists for this mechanism"
            ),
            Self::OAuthBearer { tokens, .. } => {
                tokens.refused();
                format!("it does not accept the token of {} by {mechanism}: {why}", tokens.describe())
            }
        }
    }
}

impl Exchange<'_> {
    pub fn next(&mut self, message: &[u8]) -> Result<Step, BrokerError> {
        match &mut self.stage {
            SaslStage::Said => Ok(Step::Done),
            SaslStage::Scram(scram) => {
                let message = String::from_utf8_lossy(message);
                match scram.next(&message) {
                    Ok(Reply::Send(text)) => Ok(Step::Send(text.into_bytes())),
                    Ok(Reply::Done) => Ok(Step::Done),
                    Err(why) => Err(BrokerError::Untrusted(format!("{} failed: {why}", self.sasl.mechanism()))),
                }
            }
            SaslStage::Token(_) if message.is_empty() => Ok(Step::Done),
            SaslStage::Token(_) => Ok(Step::Send(vec![1])),
        }
    }

    /// What can be told of a refusal besides the broker's own words.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.stage {
            SaslStage::Token(token) => token::look(token),
            SaslStage::Said | SaslStage::Scram(_) => None,
        }
    }
}

/// 144 random bits.
fn nonce() -> Result<String, BrokerError> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| BrokerError::Internal(format!("no random numbers: {error}")))?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::kafka::security::token::{TokenSource, Tokens};
    use std::time::Duration;

    #[test]
    fn a_missing_token_file_is_not_a_missing_broker() {
        let tokens = Tokens::new(TokenSource::File("/nowhere/token".into()));
        let error = tokens.get(Duration::from_secs(5)).map(drop).unwrap_err();
        let text = "the bridge has no credentials for Kafka: no token in /nowhere/token: ";
        assert!(error.to_string().starts_with(text), "{error}");
    }
}
