//! The steps of connecting to a broker: name resolution, TCP, TLS, ApiVersions, SASL.

use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::Driver;
use crate::kafka::wire::connection::{BrokerConnection, HandshakeStage};
use crate::kafka::wire::{ApiVersions, WireSettings};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Reports each step of connecting to `address`, up to the first that fails.
pub fn broker(
    address: &str,
    settings: &WireSettings,
    driver: Driver,
    found: &mut dyn FnMut(Diagnosis),
) -> Option<BrokerConnection> {
    let rest = [DiagnosisStep::Tcp, DiagnosisStep::Tls, DiagnosisStep::ApiVersions, DiagnosisStep::Sasl];
    let resolved = match resolve(address) {
        Ok(resolved) => resolved,
        Err(why) => {
            found(Diagnosis::failed(DiagnosisStep::Name, format!("{address}: {why}"), NAME_REMEDY));
            super::skip_all(&rest, &format!("{address} has no address"), found);
            return None;
        }
    };
    let listed: Vec<String> = resolved.iter().map(|at| at.ip().to_string()).collect();
    found(Diagnosis::ok(DiagnosisStep::Name, format!("{address} is {}", listed.join(", "))));
    let connected = connect(&resolved, settings.connect_timeout);
    let at = match connected {
        Ok((at, time)) => {
            found(Diagnosis::ok(DiagnosisStep::Tcp, format!("{at} connects in {:.1} ms", time.as_secs_f64() * 1000.0)));
            at
        }
        Err(error) => {
            found(Diagnosis::failed(
                DiagnosisStep::Tcp,
                format!("{address}: {}", describe(&error)),
                tcp_remedy(&error),
            ));
            super::skip_all(rest.get(1..).unwrap_or_default(), &format!("{address} cannot be reached"), found);
            return None;
        }
    };
    check_protocol(address, at, settings, driver, found)
}

/// Reports the steps after TCP: TLS, ApiVersions, SASL.
fn check_protocol(
    address: &str,
    at: SocketAddr,
    settings: &WireSettings,
    driver: Driver,
    found: &mut dyn FnMut(Diagnosis),
) -> Option<BrokerConnection> {
    let security = &settings.security;
    let not_configured = |step| Diagnosis::skipped(step, format!("not configured ({})", security.describe()));
    let tls_ok =
        || Diagnosis::ok(DiagnosisStep::Tls, format!("{address} completes the handshake, its certificate is trusted"));
    let began = Instant::now();
    let mut stage = None;
    let opened = BrokerConnection::open_in_stages(address, settings, &mut |reached, versions| {
        stage = Some(reached);
        match reached {
            HandshakeStage::Connected if security.tls.is_none() => found(not_configured(DiagnosisStep::Tls)),
            // In TLS 1.3 a broker that rejects the client certificate says so only after the handshake, in place of its
            // first response. So TLS is not ok yet.
            HandshakeStage::Connected => {}
            HandshakeStage::Answered => {
                if security.tls.is_some() {
                    found(tls_ok());
                }
                found(check_versions(address, versions, driver));
            }
        }
    });
    match (opened, stage) {
        (Ok(connection), _) => {
            found(match &security.sasl {
                None => not_configured(DiagnosisStep::Sasl),
                Some(sasl) => {
                    let user = security.principal().map(|principal| format!(" as {principal}")).unwrap_or_default();
                    Diagnosis::ok(DiagnosisStep::Sasl, format!("{address} accepts {}{user}", sasl.mechanism()))
                }
            });
            return Some(connection);
        }
        (Err(error), Some(HandshakeStage::Answered)) => {
            found(Diagnosis::failed(DiagnosisStep::Sasl, error.to_string(), SASL_REMEDY))
        }
        (Err(error), reached)
            if security.tls.is_some() && (reached.is_none() || matches!(error, BrokerError::Untrusted(_))) =>
        {
            found(Diagnosis::failed(DiagnosisStep::Tls, error.to_string(), TLS_REMEDY));
            super::skip_all(&[DiagnosisStep::ApiVersions, DiagnosisStep::Sasl], "needs TLS", found);
        }
        (Err(error), _) if security.tls.is_some() => {
            found(tls_ok());
            found(Diagnosis::failed(DiagnosisStep::ApiVersions, error.to_string(), SILENT_REMEDY));
            found(Diagnosis::skipped(DiagnosisStep::Sasl, format!("{address} does not answer like a Kafka broker")));
        }
        (Err(error), reached) => {
            if reached.is_none() {
                found(not_configured(DiagnosisStep::Tls));
            }
            found(no_versions(at, settings, &error, began.elapsed()));
            found(Diagnosis::skipped(DiagnosisStep::Sasl, format!("{address} does not answer like a Kafka broker")));
        }
    }
    None
}

/// Reports which versions the broker supports, and whether they suit the chosen driver.
fn check_versions(address: &str, versions: &ApiVersions, chosen: Driver) -> Diagnosis {
    let step = DiagnosisStep::ApiVersions;
    let speaks = format!("{address} speaks {}", versions.describe());
    match chosen {
        Driver::Crate if !versions.supports_old_protocol() => Diagnosis::failed(
            step,
            format!("{speaks}, but driver crate only what is older"),
            "use driver wire, which is the default",
        ),
        Driver::Wire if !versions.supports_wire() => {
            Diagnosis::failed(step, format!("{speaks}, but driver wire only what is newer (Kafka 0.11)"), OLD_REMEDY)
        }
        Driver::Crate if versions.supports_wire() => Diagnosis::ok(
            step,
            format!("{speaks}: driver crate, as configured; with driver wire, no response could exhaust the memory"),
        ),
        Driver::Crate => {
            Diagnosis::ok(step, format!("{speaks}: driver crate, whose memory a malicious response can exhaust"))
        }
        Driver::Wire => Diagnosis::ok(step, format!("{speaks}: driver wire")),
    }
}

const NAME_REMEDY: &str = "check the spelling and that the DNS (or /etc/hosts) of this machine knows the name, or give \
                           an IP address; a container resolves the names of its network, not those of its host";

const OLD_REMEDY: &str = "if you trust the broker and the network in between, use driver crate: it has no headers and no \
                          timestamps, and a response with a forged length can end the bridge";

const TLS_REMEDY: &str = "in the file of the setting kafka-config, check ssl.truststore.location (the CA of the broker's \
                          certificate), and ssl.keystore.* if the broker requires a client certificate; check the host \
                          name in the broker's certificate";

const SILENT_REMEDY: &str = "check that this is a Kafka listener and that the broker is running; if it requires a client \
                             certificate, give one with ssl.keystore.* in the file of the setting kafka-config";

const SASL_REMEDY: &str =
    "in the file of the setting kafka-config, check sasl.mechanism, and user and password in sasl.jaas.config";

/// The host of an address cannot be resolved. The text is a clause that follows the address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("the name has no address")]
    NoAddress,
    #[error("the name cannot be resolved: {0}")]
    Failed(#[from] io::Error),
}

/// Resolves `address` (`host:port`).
pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    let resolved = Vec::from_iter(address.to_socket_addrs()?);
    if resolved.is_empty() { Err(ResolveError::NoAddress) } else { Ok(resolved) }
}

/// Connects to the first address of `resolved` that accepts. Returns that address and the duration of connecting, or
/// the error of the last address.
pub fn connect(resolved: &[SocketAddr], timeout: Duration) -> io::Result<(SocketAddr, Duration)> {
    let mut why = io::Error::from(ErrorKind::NotFound);
    for at in resolved {
        let began = Instant::now();
        match TcpStream::connect_timeout(at, timeout) {
            Ok(_) => return Ok((*at, began.elapsed())),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Describes why a TCP connection failed.
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "nothing answers in time".to_owned(),
        ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        _ => format!("cannot connect: {error}"),
    }
}

/// Returns how to fix a failed TCP connection.
pub fn tcp_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: is the broker running, and is this the port of one of its listeners?"
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "a firewall drops the packets, or the address is wrong",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "this machine has no route to that network",
        _ => "check the address and the network in between",
    }
}

/// Diagnoses a server that accepts connections but does not answer ApiVersions.
fn no_versions(at: SocketAddr, settings: &WireSettings, error: &BrokerError, after: Duration) -> Diagnosis {
    let step = DiagnosisStep::ApiVersions;
    // A broker before 0.10 closes the connection at once; trying again with a silent server would only take time.
    let has_hung_up = after < settings.connect_timeout;
    if has_hung_up && !settings.security.is_on() && speaks_old_protocol(at, settings.connect_timeout) {
        let what = "the broker does not answer ApiVersions, but does answer the protocol before Kafka 0.10";
        return Diagnosis::failed(step, what, OLD_REMEDY);
    }
    if speaks_http(at, settings.connect_timeout) {
        return Diagnosis::failed(
            step,
            format!("{at} speaks HTTP, so it is not a Kafka listener"),
            "give the port of a Kafka broker (usually 9092), not that of a REST proxy, a console or a web server",
        );
    }
    Diagnosis::failed(
        step,
        error.to_string(),
        "check that this is a Kafka listener without TLS and that the broker is running (SSL and SASL listeners have other ports)",
    )
}

/// Returns whether the server answers Metadata version 0. Only the correlation id of the response is read.
fn speaks_old_protocol(at: SocketAddr, timeout: Duration) -> bool {
    // 20 bytes: API key 3 (Metadata), version 0, correlation id 1, the client id, an empty list (all topics).
    const QUESTION: &[u8] = b"\0\0\0\x14\0\x03\0\0\0\0\0\x01\0\x06curlew\0\0\0\0";
    first_bytes(at, timeout, QUESTION).is_ok_and(|[_, _, _, _, number @ ..]: [u8; 8]| number == [0, 0, 0, 1])
}

/// Returns whether the server answers HTTP. Some servers close the connection if the request is not HTTP.
fn speaks_http(at: SocketAddr, timeout: Duration) -> bool {
    first_bytes(at, timeout, b"HEAD / HTTP/1.0\r\n\r\n").is_ok_and(|head| head == *b"HTTP/")
}

/// Sends `question` on a new connection and returns the first bytes of the response.
fn first_bytes<const N: usize>(at: SocketAddr, timeout: Duration, question: &[u8]) -> io::Result<[u8; N]> {
    let mut stream = TcpStream::connect_timeout(&at, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(question)?;
    let mut head = [0; N];
    stream.read_exact(&mut head)?;
    Ok(head)
}
