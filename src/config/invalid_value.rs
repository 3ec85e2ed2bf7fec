//! Invalid values of settings.

use thiserror::Error;

/// An invalid value of a setting. The text says what is allowed; clap adds the flag and the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidValue {
    #[error(
        "give an IP address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every network of this \
         machine"
    )]
    ListenAddress,
    #[error("give a number from 1 on, such as 10000")]
    Count,
    #[error("give a number from 1 on, or unlimited")]
    CountOrUnlimited,
    #[error("give an address, or a network such as 10.0.0.0/8 or fd00::/8")]
    Network,
    #[error("give host:port of one or more brokers, such as 127.0.0.1:9092 or kafka1:9092,kafka2:9092")]
    BrokerAddress,
    #[error(
        "give * or an origin as browsers send it, such as https://example.org or http://localhost:3000, without a path"
    )]
    Origin,
    #[error("give * or the name that the sender has in WebHook-Request-Origin, such as eventgrid.azure.net")]
    WebhookOrigin,
    #[error("give a number of bytes, such as 65536, 512KiB, 8MiB or 1GB")]
    Size,
    #[error("give a number of bytes, such as 65536, 512KiB, 8MiB or 1GB, or unlimited")]
    SizeOrUnlimited,
    #[error("give a number of bytes, such as 65536, 512KiB, 8MiB or 1GB, or auto")]
    SizeOrAuto,
    /// With the minimum in bytes, a multiple of 1 MiB.
    #[error("give at least {} MiB, or auto", .0 >> 20)]
    MemoryBudgetTooSmall(usize),
    #[error("give a number and a unit, such as 500ms, 15s, 2m or 1h, from 1ms to 7d")]
    Duration,
    #[error("give a number and a unit, such as 12h, 7d or 365d")]
    Lifetime,
    #[error("give a number and a unit, such as 12h, 7d or 365d, or forever")]
    RetentionTime,
    #[error("the time is beyond the supported calendar")]
    BeyondCalendar,
    #[error("give one character or more; \\t, \\n, \\r, \\0, \\\\ and \\xNN are understood")]
    Separator,
    #[error("give NAME=VALUE, such as source=boiler")]
    Header,
    #[error("give NAME=VALUE, such as retention.ms=86400000")]
    TopicConfig,
    #[error("give the address of a running bridge, such as http://127.0.0.1:8080 or https://bridge.example")]
    BridgeUrl,
    #[error("credentials in a URL are visible to others; give them as --token or CURLEW_TOKEN")]
    CredentialsInUrl,
    #[error("give all, 1 or 0")]
    Acks,
}
