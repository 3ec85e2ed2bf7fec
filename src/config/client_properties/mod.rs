//! `--kafka-config FILE`: the `client.properties` that people have for Kafka's own clients and tools, with
//! librdkafka's names for the same understood as well.

mod jaas;
mod leftover;
mod pem;
mod sasl;
mod text;
mod tls;

use super::values;
use crate::kafka::security::Security;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the file says, checked.
#[derive(Debug)]
pub struct ClientProperties {
    /// `host:port` of some brokers; may be empty.
    pub bootstrap: Vec<String>,
    pub client_id: Option<String>,
    pub security: Security,
    /// For the log at the start: what was left aside, and what is unwise.
    pub notes: Vec<String>,
}

impl ClientProperties {
    /// An error says what to change; neither it nor anything else here holds a password.
    pub fn read(path: &Path) -> Result<Self, String> {
        let wrong = |why| format!("--kafka-config {}: {why}", path.display());
        let text = std::fs::read(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
        // Java writes these files in Latin-1 with \u escapes, people in UTF-8.
        let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = String::from_utf8(text).unwrap_or_else(|e| latin(e.as_bytes()));
        let mut read = parse(&text).map_err(wrong)?;
        read.notes.iter_mut().for_each(|note| *note = wrong(std::mem::take(note)));
        Ok(read)
    }
}

fn parse(text: &str) -> Result<ClientProperties, String> {
    let mut properties = Properties(text::parse(text));
    if properties.take("config.providers").is_some() {
        return Err("config.providers is not followed here; write the values themselves into the file, and let only \
                    the bridge's user read it"
            .to_owned());
    }
    let bootstrap = properties.take_either("bootstrap.servers", "metadata.broker.list").unwrap_or_default();
    let bootstrap = bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()).map(broker);
    let bootstrap = bootstrap.collect::<Result<_, _>>().map_err(|why| format!("bootstrap.servers: {why}"))?;
    let client_id = properties.take("client.id").filter(|id| !id.trim().is_empty());
    let mut notes = Vec::new();
    let protocol = Protocol::of(&mut properties)?;
    let trust = tls::trust(&mut properties)?;
    let tls = tls::read(&mut properties, trust.clone(), protocol)?;
    let sasl = sasl::read(&mut properties, trust, protocol)?;
    if protocol == Protocol::SaslPlaintext {
        notes.push("SASL_PLAINTEXT sends everything unencrypted, credentials of PLAIN and OAUTHBEARER too".to_owned());
    }
    if let Some(tls::Note(note)) = tls::note(&tls) {
        notes.push(note);
    }
    notes.extend(leftover::judge(properties.0.into_keys())?);
    Ok(ClientProperties {
        bootstrap,
        client_id,
        security: Security { tls: tls.map(|tls| Arc::new(tls.client)), sasl: sasl.map(Arc::new) },
        notes,
    })
}

/// Kafka's `bootstrap.servers` may name the listener before the address: `SASL_SSL://kafka:9093`.
fn broker(text: &str) -> Result<String, String> {
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
    fn of(properties: &mut Properties) -> Result<Self, String> {
        let Some(given) = properties.take("security.protocol") else {
            // Kafka would go on in plain text, and nobody who wrote these meant that.
            let means_more = |name: &&String| name.starts_with("sasl.") || name.starts_with("ssl.");
            return match properties.0.keys().find(means_more) {
                Some(name) => Err(format!("there is {name} but no security.protocol; {PROTOCOLS}")),
                None => Ok(Self::Plaintext),
            };
        };
        match given.trim().to_uppercase().as_str() {
            "PLAINTEXT" => Ok(Self::Plaintext),
            "SSL" => Ok(Self::Ssl),
            "SASL_PLAINTEXT" => Ok(Self::SaslPlaintext),
            "SASL_SSL" => Ok(Self::SaslSsl),
            other => Err(format!("security.protocol is {other:?}; {PROTOCOLS}")),
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

const PROTOCOLS: &str = "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL as security.protocol";

/// What was not read yet.
struct Properties(BTreeMap<String, String>);

impl Properties {
    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Kafka's name, or librdkafka's for the same.
    fn take_either(&mut self, name: &str, other: &str) -> Option<String> {
        let other = self.take(other);
        self.take(name).or(other)
    }

    /// Without blanks around it; `None` where it is empty.
    fn word(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests;
