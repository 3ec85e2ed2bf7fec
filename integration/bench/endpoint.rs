//! The endpoints at which records are published to a contender and read from it.

use std::time::Duration;

/// An event stream over HTTP on this machine.
pub struct StreamEndpoint {
    pub port: u16,
    /// The request target of the stream.
    pub target: String,
    /// A text in the first frames. Once it has arrived, the stream receives every new record.
    pub ready: &'static str,
    pub publish: Publish,
}

/// How records are published.
pub enum Publish {
    /// One record per request, or one per line of a streamed request.
    Curlew { port: u16, topic: String },
    /// One record per request.
    Nchan { port: u16, channel: String },
    /// The source produces records by itself.
    Endless,
}

/// Timeout for the delivery of all published records.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the endpoint of a topic of a bridge.
pub fn curlew(port: u16, topic: &str) -> StreamEndpoint {
    let publish = Publish::Curlew { port, topic: topic.to_owned() };
    StreamEndpoint { port, target: format!("/topics/{topic}/events"), ready: "\nid:", publish }
}
