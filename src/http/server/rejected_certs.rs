//! Reports rejected client certificates. The client receives a TLS alert at most, so the log gives the reason and the
//! remedy. The lines are rate-limited, because any client can cause them, and have fixed texts, because the certificate
//! is untrusted.

use crate::sync::lock;
use log::warn;
use rustls::{CertificateError, Error};
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time between two log lines with the same reason.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Rate-limits the log lines about rejected client certificates: the time of the last line per reason.
#[derive(Default)]
pub struct RejectedCerts(Mutex<[Option<Instant>; REASONS.len()]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Missing,
    Version,
    UnknownIssuer,
    Validity,
    Purpose,
    Other,
}

/// In the order of [`Reason`].
const REASONS: [&str; 6] = [
    "the client sent none, and --tls-client-auth requires one",
    "it is of X.509 version 1; create it with extensions, for example \
    `openssl x509 -req -extfile FILE` with basicConstraints=CA:FALSE in that file",
    "no authority in --tls-client-ca has signed it; if it is self-signed, have an authority sign it",
    "it has expired or is not valid yet; check its dates and the clock of this machine",
    "its extended key usage excludes clients; create it with clientAuth, or without that extension",
    "it is invalid (--log-level debug shows why)",
];

impl RejectedCerts {
    /// Logs the reason if a handshake failed because of the client's certificate.
    pub fn log(&self, error: &io::Error, client: Option<SocketAddr>) {
        let Some(reason) = crate::tls::fault_in(error).and_then(Reason::of) else { return };
        if self.is_due(reason, Instant::now()) {
            let of = client.map_or_else(String::new, |client| format!(" of {}", client.ip().to_canonical()));
            let text = REASONS[reason as usize];
            warn!("rejected the client certificate{of}: {text} (logged once a minute)");
        }
    }

    fn is_due(&self, reason: Reason, now: Instant) -> bool {
        let mut all = lock(&self.0);
        let logged = &mut all[reason as usize];
        let due = logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL);
        if due {
            *logged = Some(now);
        }
        due
    }
}

impl Reason {
    fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::NoCertificatesPresented => Self::Missing,
            Error::InvalidCertificate(what) => match what {
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Validity,
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
                // rustls has no variant for it.
                CertificateError::Other(other) if format!("{other:?}").contains("UnsupportedCertVersion") => {
                    Self::Version
                }
                _ => Self::Other,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_once_a_minute() {
        let (rejected, start) = (RejectedCerts::default(), Instant::now());
        let second = |s| start + Duration::from_secs(s);
        for (reason, at, due) in [
            (Reason::UnknownIssuer, 0, true),
            (Reason::UnknownIssuer, 59, false),
            (Reason::Validity, 59, true),
            (Reason::UnknownIssuer, 60, true),
            (Reason::UnknownIssuer, 61, false),
        ] {
            assert_eq!(rejected.is_due(reason, second(at)), due, "{reason:?} after {at} s");
        }
    }

    #[test]
    fn only_faults_of_a_certificate_are_reasons() {
        for (error, reason) in [
            (Error::NoCertificatesPresented, Some(Reason::Missing)),
            (CertificateError::UnknownIssuer.into(), Some(Reason::UnknownIssuer)),
            (CertificateError::NotValidYet.into(), Some(Reason::Validity)),
            (CertificateError::BadEncoding.into(), Some(Reason::Other)),
            (Error::DecryptError, None),
        ] {
            assert_eq!(Reason::of(&error), reason, "{error}");
        }
    }
}
