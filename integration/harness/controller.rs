//! A KRaft controller apart from the brokers, which reach it through a proxy that can cut off any one of them while
//! clients and the other brokers still reach that broker.

use crate::process::Process;
use crate::proxy::{Proxy, first_client_id};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The controller's node id; brokers count from 1.
pub const ID: usize = 100;

pub struct Controller {
    folder: PathBuf,
    process: Option<Process>,
    door: BrokersDoor,
}

impl Controller {
    pub fn new(folder: &Path, port: u16) -> Self {
        Self { folder: folder.join("controller"), process: None, door: BrokersDoor::start(port) }
    }

    /// As brokers have it in `controller.quorum.voters`.
    pub fn voter(&self) -> String {
        format!("{ID}@127.0.0.1:{}", self.door.proxy.port())
    }

    /// Its `server.properties`, written.
    pub fn configure(&self, port: u16) -> PathBuf {
        // The brokers learn its address from its answers too, so that must be the proxy's.
        let lines = [
            "process.roles=controller".to_owned(),
            format!("node.id={ID}"),
            format!("controller.quorum.voters={ID}@127.0.0.1:{port}"),
            format!("listeners=CONTROLLER://127.0.0.1:{port}"),
            format!("advertised.listeners=CONTROLLER://127.0.0.1:{}", self.door.proxy.port()),
            "controller.listener.names=CONTROLLER".to_owned(),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT".to_owned(),
            format!("log.dirs={}", self.folder.join("log").display()),
        ];
        std::fs::create_dir_all(&self.folder).expect("folder");
        std::fs::write(self.properties(), lines.join("\n")).expect("server.properties");
        self.properties()
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    pub fn start(&mut self, mut java: Command) {
        java.arg("kafka.Kafka").arg(self.properties());
        self.process = Some(Process::start("the controller", java, &self.folder.join("controller.log")));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn cut_off(&self, broker: usize) {
        self.door.cut_off(broker);
    }

    pub fn connect_again(&self, broker: usize) {
        self.door.connect_again(broker);
    }
}

/// Passes brokers' connections on to the controller, unless the broker is cut off: then nothing passes either way, and
/// nobody tells it so, as in a network that drops packets.
struct BrokersDoor {
    proxy: Proxy,
    state: Arc<Mutex<Door>>,
}

#[derive(Default)]
struct Door {
    cut_off: BTreeSet<usize>,
    connections: BTreeMap<usize, Vec<TcpStream>>,
}

impl BrokersDoor {
    fn start(controller: u16) -> Self {
        let state: Arc<Mutex<Door>> = Arc::default();
        let shared = state.clone();
        let proxy = Proxy::start(0, move |client| serve(client, controller, &shared));
        Self { proxy, state }
    }

    fn cut_off(&self, broker: usize) {
        let mut door = self.state.lock().expect("lock");
        door.cut_off.insert(broker);
        for connection in door.connections.remove(&broker).into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn connect_again(&self, broker: usize) {
        let mut door = self.state.lock().expect("lock");
        door.cut_off.remove(&broker);
        // Those made meanwhile lead nowhere.
        for connection in door.connections.remove(&broker).into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(client: TcpStream, controller: u16, state: &Mutex<Door>) {
    let Ok((client_id, first)) = first_client_id(&client) else { return };
    // Brokers name themselves `1` (heartbeats, changes of partitions) and `raft-client-1` (the metadata log).
    let digits = client_id.rsplit('-').next().unwrap_or_default();
    let Ok(broker) = digits.parse::<usize>() else { panic!("a controller's client named {client_id:?}") };
    {
        let mut door = state.lock().expect("lock");
        let kept = door.connections.entry(broker).or_default();
        kept.push(client.try_clone().expect("socket"));
        if door.cut_off.contains(&broker) {
            return;
        }
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", controller)) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    crate::proxy::pass_both_ways(client, server, &first);
}
