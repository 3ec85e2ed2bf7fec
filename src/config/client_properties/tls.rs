//! The `ssl.*` properties.

use super::{Properties, pem};
use crate::os::small_file;
use crate::tls::{ClientTls, NameCheck, TlsError, TlsIdentity, TlsVersions, Trust};
use pem::PemPropertyError;
use std::io;
use thiserror::Error;

/// An invalid or unsupported TLS property.
#[derive(Debug, Error)]
pub enum TlsPropertyError {
    #[error("{property}: {path} cannot be read: {source}")]
    Unreadable { property: &'static str, path: String, source: io::Error },
    #[error("{property}: {path} holds no PEM")]
    NotPem { property: &'static str, path: String },
    /// `command` converts the store to the file `pem`.
    #[error(
        "{property}: {path} is {store}, which is not supported; convert it with `{command}` and set {property}={pem}"
    )]
    UnsupportedStore { property: &'static str, path: String, store: &'static str, command: String, pem: &'static str },
    #[error(transparent)]
    Pem(#[from] PemPropertyError),
    #[error("the truststore holds no certificate; give the CA's as PEM")]
    EmptyTruststore,
    #[error(
        "there is a key for the bridge but no certificate: ssl.keystore.location must hold both, or give \
         ssl.keystore.certificate.chain too"
    )]
    MissingCertificate,
    #[error(
        "there is a certificate for the bridge but no private key: ssl.keystore.location must hold both, or give \
         ssl.keystore.key too"
    )]
    MissingKey,
    #[error(
        "enable.ssl.certificate.verification=false is not supported, since any server could then impersonate Kafka; give its \
         certificate as ssl.ca.location"
    )]
    VerificationDisabled,
    #[error("ssl.endpoint.identification.algorithm is {0:?}; give https, or nothing to not check the names of brokers")]
    EndpointIdentification(String),
    #[error("ssl.enabled.protocols is {0:?}; TLSv1.2 and TLSv1.3 are supported")]
    UnsupportedVersions(String),
    #[error("the name of a schema registry is always checked; remove ssl.endpoint.identification.algorithm")]
    RegistryNames,
    #[error("TLSv1.2 and TLSv1.3 are both offered to a schema registry; remove ssl.enabled.protocols")]
    RegistryVersions,
    #[error("{0}; give the one to trust with ssl.truststore.location")]
    NoTrustAnchors(#[source] TlsError),
    #[error(transparent)]
    Client(TlsError),
}

/// TLS settings, and whether host names are checked.
pub struct TlsProperties {
    pub client: ClientTls,
    pub names: NameCheck,
}

/// Returns a warning if the host names of brokers are not verified.
pub fn note(tls: &TlsProperties) -> Option<String> {
    let text = "ssl.endpoint.identification.algorithm is empty: any server with a certificate of the same CA could \
                impersonate a broker";
    (tls.names == NameCheck::Skipped).then(|| text.to_owned())
}

/// Reads the trust anchors, which apply to brokers and to the token endpoint.
pub fn trust(properties: &mut Properties) -> Result<Trust, TlsPropertyError> {
    properties.take("ssl.truststore.type");
    // PEM has no password; one may be left over from a JKS store.
    properties.take("ssl.truststore.password");
    let given = source(properties, ("ssl.truststore.location", "ssl.ca.location"), TRUSTSTORE)?;
    let inline = properties.take_either("ssl.truststore.certificates", "ssl.ca.pem");
    let inline = inline.map(|text| pem::parse("ssl.truststore.certificates", &text)).transpose()?;
    let Some(found) = given.or(inline) else { return Ok(Trust::System) };
    if found.certificates.is_empty() {
        return Err(TlsPropertyError::EmptyTruststore);
    }
    Ok(Trust::Given(found.certificates))
}

/// Reads all other TLS properties.
pub fn read(properties: &mut Properties, trust: Trust) -> Result<TlsProperties, TlsPropertyError> {
    let identity = identity(properties)?;
    let names = names(properties)?;
    let versions = versions(properties)?;
    if properties.word("enable.ssl.certificate.verification").is_some_and(|value| value == "false") {
        return Err(TlsPropertyError::VerificationDisabled);
    }
    let client = ClientTls::new(trust, identity, names, versions).map_err(|error| match error {
        TlsError::NoSystemRoots => TlsPropertyError::NoTrustAnchors(error),
        error => TlsPropertyError::Client(error),
    })?;
    Ok(TlsProperties { client, names })
}

/// Reads the client certificate for a schema registry. Its host name and the TLS versions cannot be chosen.
pub fn identity_of_registry(properties: &mut Properties) -> Result<Option<TlsIdentity>, TlsPropertyError> {
    let identity = identity(properties)?;
    if names(properties)? == NameCheck::Skipped {
        return Err(TlsPropertyError::RegistryNames);
    }
    match versions(properties)? {
        TlsVersions::Both => Ok(identity),
        TlsVersions::Only12 | TlsVersions::Only13 => Err(TlsPropertyError::RegistryVersions),
    }
}

fn identity(properties: &mut Properties) -> Result<Option<TlsIdentity>, TlsPropertyError> {
    properties.take("ssl.keystore.type");
    properties.take("ssl.keystore.password");
    // The PEM parser rejects encrypted keys.
    properties.take("ssl.key.password");
    let store = source(properties, ("ssl.keystore.location", "ssl.keystore.location"), KEYSTORE)?;
    let chain = source(properties, ("ssl.certificate.location", "ssl.certificate.location"), KEYSTORE)?;
    let key = source(properties, ("ssl.key.location", "ssl.key.location"), KEYSTORE)?;
    let mut inline = |name, other| properties.take_either(name, other).map(|text| pem::parse(name, &text)).transpose();
    let inline_chain = inline("ssl.keystore.certificate.chain", "ssl.certificate.pem")?;
    let inline_key = inline("ssl.keystore.key", "ssl.key.pem")?;
    let given: Vec<pem::Pem> = [store, chain, key, inline_chain, inline_key].into_iter().flatten().collect();
    if given.is_empty() {
        return Ok(None);
    }
    let (mut chain, mut key) = (Vec::new(), None);
    for pem in given {
        if chain.is_empty() {
            chain = pem.certificates;
        }
        key = key.or(pem.key);
    }
    match key {
        Some(key) if !chain.is_empty() => Ok(Some(TlsIdentity { chain, key })),
        Some(_) => Err(TlsPropertyError::MissingCertificate),
        None => Err(TlsPropertyError::MissingKey),
    }
}

fn names(properties: &mut Properties) -> Result<NameCheck, TlsPropertyError> {
    match properties.take("ssl.endpoint.identification.algorithm").as_deref().map(str::trim) {
        None => Ok(NameCheck::Required),
        Some(value) if value.eq_ignore_ascii_case("https") => Ok(NameCheck::Required),
        // `none` is librdkafka's value.
        Some("" | "none") => Ok(NameCheck::Skipped),
        Some(other) => Err(TlsPropertyError::EndpointIdentification(other.to_owned())),
    }
}

fn versions(properties: &mut Properties) -> Result<TlsVersions, TlsPropertyError> {
    let Some(given) = properties.word("ssl.enabled.protocols") else { return Ok(TlsVersions::Both) };
    let enabled: Vec<&str> = given.split(',').map(str::trim).collect();
    match (enabled.contains(&"TLSv1.2"), enabled.contains(&"TLSv1.3")) {
        (true, true) => Ok(TlsVersions::Both),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err(TlsPropertyError::UnsupportedVersions(given)),
    }
}

/// Commands that convert a store to PEM.
struct StoreFormat {
    from_jks: &'static str,
    from_pkcs12: &'static str,
}

const TRUSTSTORE: StoreFormat = StoreFormat {
    from_jks: "keytool -list -rfc -keystore FILE > truststore.pem",
    from_pkcs12: "keytool -list -rfc -storetype PKCS12 -keystore FILE > truststore.pem",
};

const KEYSTORE: StoreFormat = StoreFormat {
    from_jks: "keytool -importkeystore -srckeystore FILE -destkeystore keystore.p12 -deststoretype PKCS12 && openssl \
               pkcs12 -in keystore.p12 -nodes -out keystore.pem",
    from_pkcs12: "openssl pkcs12 -in FILE -nodes -out keystore.pem",
};

/// Reads the PEM file of a property. Its first bytes determine the format; the properties `ssl.*store.type` are ignored.
fn source(
    properties: &mut Properties,
    (property, other): (&'static str, &str),
    store: StoreFormat,
) -> Result<Option<pem::Pem>, TlsPropertyError> {
    let Some(path) = properties.take_either(property, other).map(|path| path.trim().to_owned()) else {
        return Ok(None);
    };
    if path.is_empty() {
        return Ok(None);
    }
    let bytes = match small_file::read_regular(path.as_ref()) {
        Ok(bytes) => bytes,
        Err(source) => return Err(TlsPropertyError::Unreadable { property, path, source }),
    };
    let (format, command) = match bytes.as_slice() {
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => ("a JKS store", store.from_jks),
        [0x30, 0x80..=0x84, ..] => ("a PKCS12 store", store.from_pkcs12),
        _ => {
            let text = String::from_utf8_lossy(&bytes);
            return match text.contains("-----BEGIN ") {
                true => Ok(Some(pem::parse(property, &text)?)),
                false => Err(TlsPropertyError::NotPem { property, path }),
            };
        }
    };
    let command = command.replace("FILE", &path);
    let pem = if command.contains("truststore.pem") { "truststore.pem" } else { "keystore.pem" };
    Err(TlsPropertyError::UnsupportedStore { property, path, store: format, command, pem })
}
