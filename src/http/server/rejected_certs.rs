//! Clients whose certificate was refused. They hear of it by a code at most, so the log says it, with what to do: seldom,
//! since anybody can have it said, and in words that are ours.

use crate::sync::lock;
use log::warn;
use rustls::{CertificateError, Error};
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines that give the same reason.
const PAUSE: Duration = Duration::from_secs(60);

/// When each reason was said last.
#[derive(Default)]
pub struct RejectedCerts(Mutex<[Option<Instant>; REASONS.len()]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Missing,
    Version,
    Stranger,
    Time,
    Purpose,
    Other,
}

/// In the order of [`Reason`].
const REASONS: [&str; 6] = [
    "it has shown none, and --tls-client-auth asks for one of everybody",
    "it is of X.509 version 1; make it anew with extensions, such as \
     `openssl x509 -req -extfile FILE` with basicConstraints=CA:FALSE in that file",
    "no authority in --tls-client-ca has signed it; where it signed itself, make one that an authority has signed",
    "it has run out, or its time has not come; look at its dates and at this machine's clock",
    "its extended key usage is not for clients; make it anew with clientAuth, or without that extension",
    "it is not in order (--log-level debug says what about it)",
];

impl RejectedCerts {
    /// Says why, where a handshake has failed for that.
    pub fn tell(&self, error: &io::Error, client: Option<SocketAddr>) {
        let Some(reason) = crate::tls::fault_in(error).and_then(Reason::of) else { return };
        if self.is_due(reason, Instant::now()) {
            let of = client.map_or_else(String::new, |client| format!(" of {}", client.ip().to_canonical()));
            let why = REASONS[reason as usize];
            warn!("the client certificate{of} was refused: {why} (said once a minute)");
        }
    }

    fn is_due(&self, reason: Reason, now: Instant) -> bool {
        let mut all = lock(&self.0);
        let said = &mut all[reason as usize];
        let due = said.is_none_or(|said| now.saturating_duration_since(said) >= PAUSE);
        if due {
            *said = Some(now);
        }
        due
    }
}

impl Reason {
    fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::NoCertificatesPresented => Self::Missing,
            Error::InvalidCertificate(what) => match what {
                CertificateError::UnknownIssuer => Self::Stranger,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Time,
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::Purpose,
                // rustls has no name of its own for it.
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
    fn a_reason_is_said_once_a_minute_and_holds_back_no_other() {
        let (unfit, start) = (RejectedCerts::default(), Instant::now());
        let second = |s| start + Duration::from_secs(s);
        for (reason, at, due) in [
            (Reason::Stranger, 0, true),
            (Reason::Stranger, 59, false),
            (Reason::Time, 59, true),
            (Reason::Stranger, 60, true),
            (Reason::Stranger, 61, false),
        ] {
            assert_eq!(unfit.is_due(reason, second(at)), due, "{reason:?} after {at} s");
        }
    }

    #[test]
    fn only_what_is_wrong_with_a_certificate_is_a_reason() {
        for (error, reason) in [
            (Error::NoCertificatesPresented, Some(Reason::Missing)),
            (CertificateError::UnknownIssuer.into(), Some(Reason::Stranger)),
            (CertificateError::NotValidYet.into(), Some(Reason::Time)),
            (CertificateError::BadEncoding.into(), Some(Reason::Other)),
            (Error::DecryptError, None),
        ] {
            assert_eq!(Reason::of(&error), reason, "{error}");
        }
    }
}
