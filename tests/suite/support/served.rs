//! A bridge on a real socket, with a broker in memory.

use super::memory_broker::MemoryBroker;
use curlew::http::{self, App};
use curlew::hub::{self, Hub};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than any of these tests takes if it succeeds.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Served {
    pub broker: Arc<MemoryBroker>,
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub end: oneshot::Sender<()>,
    pub serving: JoinHandle<()>,
}

impl Served {
    /// Starts a bridge with one record in topic `t` and without heartbeats.
    pub fn start(settings: http::Settings) -> Self {
        let broker = MemoryBroker::new();
        broker.create("t", 1);
        broker.append("t", 0, "first");
        let hub = Arc::new(Hub::start(broker.clone(), hub::Settings::default()).unwrap());
        let settings = http::Settings { heartbeat: Duration::from_secs(60), drain: PATIENCE, ..settings };
        let app = App::new(hub, settings);
        let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, shutdown) = oneshot::channel();
        let serving = tokio::spawn(http::serve(listener, None, app.clone(), async { drop(shutdown.await) }));
        Self { broker, app, address, end, serving }
    }

    pub async fn until_streams(&self, expected: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.app.hub.streams() != expected {
            assert!(Instant::now() < deadline, "{} streams are open", self.app.hub.streams());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
