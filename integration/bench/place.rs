//! Where to publish and where to listen, of each contender.

use std::time::Duration;

/// An event stream over HTTP on this machine.
pub struct Place {
    pub port: u16,
    /// What a listener asks for.
    pub listen: String,
    /// Shows that a stream misses nothing any more.
    pub ready: &'static str,
    pub publish: Publish,
}

/// How records get in.
pub enum Publish {
    /// Curlew: a record a request, or a line of a stream.
    Curlew { port: u16, topic: String },
    /// Nchan: a record a request.
    Nchan { port: u16, channel: String },
    /// Nobody asks.
    ByItself,
}

/// How long a contender may take to bring what it was given.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of a bridge.
pub fn curlew(port: u16, topic: &str) -> Place {
    let publish = Publish::Curlew { port, topic: topic.to_owned() };
    Place { port, listen: format!("/topics/{topic}/events"), ready: "\nid:", publish }
}
