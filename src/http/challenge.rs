//! The `WWW-Authenticate` header of a 401.

/// The accepted authentication schemes, as in `WWW-Authenticate` (RFC 9110, section 11.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    Bearer,
    BearerOrBasic,
    /// The credentials were rejected (RFC 6750, section 3.1).
    Wrong,
    WrongOrBasic,
}

impl Challenge {
    pub fn of_wrong(self) -> Self {
        match self {
            Self::Bearer | Self::Wrong => Self::Wrong,
            Self::BearerOrBasic | Self::WrongOrBasic => Self::WrongOrBasic,
        }
    }

    /// Returns the value of the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => r#"Bearer realm="curlew""#,
            Self::BearerOrBasic => r#"Bearer realm="curlew", Basic realm="curlew", charset="UTF-8""#,
            Self::Wrong => r#"Bearer realm="curlew", error="invalid_token""#,
            Self::WrongOrBasic => {
                r#"Bearer realm="curlew", error="invalid_token", Basic realm="curlew", charset="UTF-8""#
            }
        }
    }
}
