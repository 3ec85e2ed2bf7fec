//! The `ssl.*` properties.

use super::{Properties, pem};
use crate::os::small_file;
use crate::tls::{ClientTls, NameCheck, TlsError, TlsIdentity, TlsVersions, Trust};

/// TLS settings, and whether host names are checked.
pub struct TlsProperties {
    pub client: ClientTls,
    pub names: NameCheck,
}

/// Returns a note about an insecure setting.
pub fn note(tls: &TlsProperties) -> Option<String> {
    let text = "ssl.endpoint.identification.algorithm is empty: any server with a certificate of the same CA could \
                impersonate a broker";
    (tls.names == NameCheck::Skipped).then(|| text.to_owned())
}

/// Reads the trust anchors, which apply to brokers and to the token endpoint.
pub fn trust(properties: &mut Properties) -> Result<Trust, String> {
    properties.take("ssl.truststore.type");
    // PEM has no password; one may be left over from a JKS store.
    properties.take("ssl.truststore.password");
    let given = source(properties, ("ssl.truststore.location", "ssl.ca.location"), TRUSTSTORE)?;
    let inline = properties.take_either("ssl.truststore.certificates", "ssl.ca.pem");
    let inline = inline.map(|text| pem::parse("ssl.truststore.certificates", &text)).transpose()?;
    let Some(found) = given.or(inline) else { return Ok(Trust::System) };
    if found.certificates.is_empty() {
        return Err("the truststore holds no certificate; give the CA's as PEM".to_owned());
    }
    Ok(Trust::Given(found.certificates))
}

pub fn read(properties: &mut Properties, trust: Trust) -> Result<TlsProperties, String> {
    let identity = identity(properties)?;
    let names = names(properties)?;
    let versions = versions(properties)?;
    if properties.word("enable.ssl.certificate.verification").is_some_and(|value| value == "false") {
        return Err(
            "enable.ssl.certificate.verification=false is not supported, since any server could then impersonate \
                    Kafka; give its certificate as ssl.ca.location"
                .to_owned(),
        );
    }
    let client = ClientTls::new(trust, identity, names, versions).map_err(|error| match error {
        TlsError::NoSystemRoots => format!("{error}; give the one to trust with ssl.truststore.location"),
        error => error.to_string(),
    })?;
    Ok(TlsProperties { client, names })
}

fn identity(properties: &mut Properties) -> Result<Option<TlsIdentity>, String> {
    properties.take("ssl.keystore.type");
    properties.take("ssl.keystore.password");
    // Encrypted keys are rejected by the PEM parser.
    properties.take("ssl.key.password");
    let store = source(properties, ("ssl.keystore.location", "ssl.keystore.location"), KEYSTORE)?;
    let chain = source(properties, ("ssl.certificate.location", "ssl.certificate.location"), KEYSTORE)?;
    let key = source(properties, ("ssl.key.location", "ssl.key.location"), KEYSTORE)?;
    let mut inline =
        |name: &str, other: &str| properties.take_either(name, other).map(|text| pem::parse(name, &text)).transpose();
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
        Some(_) => {
            Err("there is a key for the bridge but no certificate: ssl.keystore.location must hold both, or give \
                        ssl.keystore.certificate.chain too"
                .to_owned())
        }
        None => {
            Err("there is a certificate for the bridge but no private key: ssl.keystore.location must hold both, or \
                     give ssl.keystore.key too"
                .to_owned())
        }
    }
}

fn names(properties: &mut Properties) -> Result<NameCheck, String> {
    let name = "ssl.endpoint.identification.algorithm";
    match properties.take(name).as_deref().map(str::trim) {
        None => Ok(NameCheck::Required),
        Some(value) if value.eq_ignore_ascii_case("https") => Ok(NameCheck::Required),
        // `none` is librdkafka's value.
        Some("" | "none") => Ok(NameCheck::Skipped),
        Some(other) => Err(format!("{name} is {other:?}; give https, or nothing to not check the names of brokers")),
    }
}

fn versions(properties: &mut Properties) -> Result<TlsVersions, String> {
    let name = "ssl.enabled.protocols";
    let Some(given) = properties.word(name) else { return Ok(TlsVersions::Both) };
    let enabled: Vec<&str> = given.split(',').map(str::trim).collect();
    match (enabled.contains(&"TLSv1.2"), enabled.contains(&"TLSv1.3")) {
        (true, true) => Ok(TlsVersions::Both),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err(format!("{name} is {given:?}; TLSv1.2 and TLSv1.3 are supported")),
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

/// Reads the PEM file of a property. The format is detected by the first bytes, whatever the type property says.
fn source(
    properties: &mut Properties,
    (name, other): (&str, &str),
    store: StoreFormat,
) -> Result<Option<pem::Pem>, String> {
    let Some(path) = properties.take_either(name, other).map(|path| path.trim().to_owned()) else { return Ok(None) };
    if path.is_empty() {
        return Ok(None);
    }
    let bytes =
        small_file::read_regular(path.as_ref()).map_err(|error| format!("{name}: {path} cannot be read: {error}"))?;
    let (kind, command) = match bytes.as_slice() {
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => ("a JKS store", store.from_jks),
        [0x30, 0x80..=0x84, ..] => ("a PKCS12 store", store.from_pkcs12),
        _ => {
            let text = String::from_utf8_lossy(&bytes);
            return match text.contains("-----BEGIN ") {
                true => pem::parse(name, &text).map(Some),
                false => Err(format!("{name}: {path} holds no PEM")),
            };
        }
    };
    let command = command.replace("FILE", &path);
    let made = if command.contains("truststore.pem") { "truststore.pem" } else { "keystore.pem" };
    Err(format!("{name}: {path} is {kind}, which is not supported; convert it with: {command} — and set {name}={made}"))
}
