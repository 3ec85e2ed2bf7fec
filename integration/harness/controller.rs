//! A KRaft controller in a separate process. Brokers reach it through a proxy, which can cut off any of them while
//! clients and the other brokers still reach that broker.

use crate::process::Process;
use crate::proxy::{Proxy, first_client_id};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The controller's node id. Brokers have ids from 1.
pub const ID: usize = 100;

pub struct Controller {
    directory: PathBuf,
    process: Option<Process>,
    proxy: ControllerProxy,
}

impl Controller {
    pub fn new(directory: &Path, port: u16) -> Self {
        Self { directory: directory.join("controller"), process: None, proxy: ControllerProxy::start(port) }
    }

    /// Returns the controller's entry in `controller.quorum.voters`.
    pub fn voter(&self) -> String {
        format!("{ID}@127.0.0.1:{}", self.proxy.tcp.port())
    }

    /// Writes `server.properties` and returns its path.
    pub fn configure(&self, port: u16) -> PathBuf {
        // Brokers also learn the address from the controller's responses, so it must be the address of the proxy.
        let lines = [
            "process.roles=controller".to_owned(),
            format!("node.id={ID}"),
            format!("controller.quorum.voters={ID}@127.0.0.1:{port}"),
            format!("listeners=CONTROLLER://127.0.0.1:{port}"),
            format!("advertised.listeners=CONTROLLER://127.0.0.1:{}", self.proxy.tcp.port()),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT".to_owned(),
            format!("log.dirs={}", self.directory.join("log").display()),
        ];
        std::fs::create_dir_all(&self.directory).expect("directory");
        std::fs::write(self.properties(), lines.join("\n")).expect("server.properties");
        self.properties()
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    pub fn start(&mut self, mut java: Command) {
        java.arg("kafka.Kafka").arg(self.properties());
        self.process = Some(Process::start("the controller", java, &self.directory.join("controller.log")));
    }

    /// Kills the controller with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn cut_off(&self, broker: usize) {
        self.proxy.cut_off(broker);
    }

    pub fn reconnect(&self, broker: usize) {
        self.proxy.reconnect(broker);
    }
}

/// Forwards connections of brokers to the controller. When a broker is cut off, its connections are closed, and new ones
/// stay open without data, as in a network that drops packets.
struct ControllerProxy {
    tcp: Proxy,
    state: Arc<Mutex<BrokerConnections>>,
}

#[derive(Default)]
struct BrokerConnections {
    cut_off: BTreeSet<usize>,
    connections: BTreeMap<usize, Vec<TcpStream>>,
}

impl ControllerProxy {
    fn start(controller: u16) -> Self {
        let state: Arc<Mutex<BrokerConnections>> = Arc::default();
        let shared = state.clone();
        let tcp = Proxy::start(0, move |client| serve(client, controller, &shared));
        Self { tcp, state }
    }

    fn cut_off(&self, broker: usize) {
        let mut state = self.state.lock().expect("lock");
        state.cut_off.insert(broker);
        for connection in state.connections.remove(&broker).into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn reconnect(&self, broker: usize) {
        let mut state = self.state.lock().expect("lock");
        state.cut_off.remove(&broker);
        // Connections made meanwhile have no upstream, so the broker must open new ones.
        for connection in state.connections.remove(&broker).into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(client: TcpStream, controller: u16, state: &Mutex<BrokerConnections>) {
    let Ok((client_id, first)) = first_client_id(&client) else { return };
    // The client id is `1` (heartbeats, partition changes) or `raft-client-1` (the metadata log).
    let digits = client_id.rsplit('-').next().unwrap_or_default();
    let Ok(broker) = digits.parse::<usize>() else { panic!("a client of the controller is named {client_id:?}") };
    {
        let mut state = state.lock().expect("lock");
        let kept = state.connections.entry(broker).or_default();
        kept.push(client.try_clone().expect("socket"));
        if state.cut_off.contains(&broker) {
            return;
        }
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", controller)) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    crate::proxy::pass_both_ways(client, server, &first);
}
