//! From a name to a broker that answers and knows us: name, TCP, TLS, ApiVersions, SASL.

use crate::broker::BrokerError;
use crate::broker::diagnosis::{Diagnosis, DiagnosisStep};
use crate::kafka::Driver;
use crate::kafka::wire::connection::{BrokerConnection, HandshakeStage};
use crate::kafka::wire::{ApiVersions, WireSettings};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Each step to `address`, up to the first that fails.
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
            found(Diagnosis::failed(DiagnosisStep::Tcp, format!("{address}: {}", told(&error)), tcp_remedy(&error)));
            super::skip_all(rest.get(1..).unwrap_or_default(), &format!("{address} cannot be reached"), found);
            return None;
        }
    };
    secured(address, at, settings, driver, found)
}

/// TLS, ApiVersions, SASL.
fn secured(
    address: &str,
    at: SocketAddr,
    settings: &WireSettings,
    driver: Driver,
    found: &mut dyn FnMut(Diagnosis),
) -> Option<BrokerConnection> {
    let security = &settings.security;
    let not_wanted = |step| Diagnosis::skipped(step, format!("not asked for ({})", security.describe()));
    let agreed =
        || Diagnosis::ok(DiagnosisStep::Tls, format!("{address} and we agree, and its certificate is trusted"));
    let began = Instant::now();
    let mut stage = None;
    let opened = BrokerConnection::open_in_stages(address, settings, &mut |reached, versions| {
        stage = Some(reached);
        match reached {
            HandshakeStage::Connected if security.tls.is_none() => found(not_wanted(DiagnosisStep::Tls)),
            // In TLS 1.3 it refuses our certificate only now, in the place of its first answer.
            HandshakeStage::Connected => {}
            HandshakeStage::Answered => {
                if security.tls.is_some() {
                    found(agreed());
                }
                found(fits(address, versions, driver));
            }
        }
    });
    match (opened, stage) {
        (Ok(connection), _) => {
            found(match &security.sasl {
                None => not_wanted(DiagnosisStep::Sasl),
                Some(sasl) => {
                    let whom = security.principal().map(|principal| format!(" as {principal}")).unwrap_or_default();
                    Diagnosis::ok(DiagnosisStep::Sasl, format!("{address} lets us in by {}{whom}", sasl.mechanism()))
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
            super::skip_all(&[DiagnosisStep::ApiVersions, DiagnosisStep::Sasl], "TLS comes first", found);
        }
        (Err(error), _) if security.tls.is_some() => {
            found(agreed());
            found(Diagnosis::failed(DiagnosisStep::ApiVersions, error.to_string(), SILENT_REMEDY));
            found(Diagnosis::skipped(DiagnosisStep::Sasl, format!("{address} does not answer as Kafka does")));
        }
        (Err(error), reached) => {
            if reached.is_none() {
                found(not_wanted(DiagnosisStep::Tls));
            }
            found(no_versions(at, settings, &error, began.elapsed()));
            found(Diagnosis::skipped(DiagnosisStep::Sasl, format!("{address} does not answer as Kafka does")));
        }
    }
    None
}

/// What the broker speaks, which driver that means, and whether it is the one that was chosen.
fn fits(address: &str, versions: &ApiVersions, chosen: Driver) -> Diagnosis {
    let step = DiagnosisStep::ApiVersions;
    let speaks = format!("{address} speaks {}", versions.describe());
    match chosen {
        Driver::Crate if !versions.speaks_old_protocol() => Diagnosis::failed(
            step,
            format!("{speaks}, but --driver crate only what is older"),
            "leave --driver out, or give wire",
        ),
        Driver::Wire if !versions.speaks_wire() => {
            Diagnosis::failed(step, format!("{speaks}, but --driver wire only what is newer (Kafka 0.11)"), OLD_REMEDY)
        }
        Driver::Crate if versions.speaks_wire() => Diagnosis::ok(
            step,
            format!("{speaks}: driver crate, as asked for; leave it out, and no answer can end the bridge"),
        ),
        Driver::Crate => {
            Diagnosis::ok(step, format!("{speaks}: driver crate, which trusts the broker with our memory"))
        }
        Driver::Wire => Diagnosis::ok(step, format!("{speaks}: driver wire")),
    }
}

const NAME_REMEDY: &str = "check how it is spelt and that the DNS (or /etc/hosts) of this machine knows it, or give an \
                           IP address; within a container the names of its network count, not those of its host";

const OLD_REMEDY: &str = "if you trust the broker and the network in between, give --driver crate: there are no headers and no \
                          timestamps with it, and an answer that lies about its length ends the bridge";

const TLS_REMEDY: &str = "check ssl.truststore.location (the CA of the broker's certificate), the host name in it, and \
                          ssl.keystore.* where the broker wants a certificate of ours, in the file of --kafka-config";

const SILENT_REMEDY: &str = "is this a Kafka listener, of a broker that is up? If it wants a certificate of ours, give one \
                             with ssl.keystore.* in the file of --kafka-config";

const SASL_REMEDY: &str =
    "check sasl.mechanism and the user and password in sasl.jaas.config, in the file of --kafka-config";

pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    match address.to_socket_addrs().map(Vec::from_iter) {
        Ok(resolved) if resolved.is_empty() => Err("the name has no address".to_owned()),
        Ok(resolved) => Ok(resolved),
        Err(error) => Err(format!("the name cannot be resolved: {error}")),
    }
}

/// The first of `resolved` that lets us connect, and how long that took; else why the last did not.
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

pub fn told(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "nothing answers in time".to_owned(),
        ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        _ => format!("cannot connect: {error}"),
    }
}

pub fn tcp_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nothing listens there: is the broker running, and is this the port of one of its listeners?"
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            "a firewall between here and there, or a wrong address, swallows what is sent"
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "this machine has no way to that network",
        _ => "check the address and the network between here and there",
    }
}

/// The port is open, and who listens there does not answer ApiVersions.
fn no_versions(at: SocketAddr, settings: &WireSettings, error: &BrokerError, after: Duration) -> Diagnosis {
    let step = DiagnosisStep::ApiVersions;
    // An old broker hangs up on the question; one that is silent would be so again.
    let has_hung_up = after < settings.connect_timeout;
    if has_hung_up && !settings.security.is_on() && speaks_old_protocol(at, settings.connect_timeout) {
        let what = "the broker does not answer ApiVersions, and does answer the protocol before Kafka 0.10";
        return Diagnosis::failed(step, what, OLD_REMEDY);
    }
    if speaks_http(at, settings.connect_timeout) {
        return Diagnosis::failed(
            step,
            format!("{at} speaks HTTP and is no Kafka listener"),
            "give the port of a Kafka broker (9092, as a rule), not that of a REST proxy, a console or a web server",
        );
    }
    Diagnosis::failed(
        step,
        error.to_string(),
        "is this a Kafka listener, of a broker that is up, and without TLS? (SSL and SASL listeners have ports of their own)",
    )
}

/// Whether there is an answer to the oldest question for metadata. Nothing of it is believed.
fn speaks_old_protocol(at: SocketAddr, timeout: Duration) -> bool {
    // 20 bytes: Metadata (3) in version 0, request 1, by whom, for all topics.
    const QUESTION: &[u8] = b"\0\0\0\x14\0\x03\0\0\0\0\0\x01\0\x06curlew\0\0\0\0";
    first_bytes(at, timeout, QUESTION).is_ok_and(|[_, _, _, _, number @ ..]: [u8; 8]| number == [0, 0, 0, 1])
}

/// Some servers hang up on what is not HTTP; asked in their own language they answer.
fn speaks_http(at: SocketAddr, timeout: Duration) -> bool {
    first_bytes(at, timeout, b"HEAD / HTTP/1.0\r\n\r\n").is_ok_and(|head| head == *b"HTTP/")
}

/// The beginning of the answer to `question`, on a connection of its own.
fn first_bytes<const N: usize>(at: SocketAddr, timeout: Duration, question: &[u8]) -> io::Result<[u8; N]> {
    let mut stream = TcpStream::connect_timeout(&at, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(question)?;
    let mut head = [0; N];
    stream.read_exact(&mut head)?;
    Ok(head)
}
