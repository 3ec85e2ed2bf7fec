//! Real brokers of any version, one or a cluster, in KRaft's combined mode or with a controller apart.

use crate::controller::Controller;
use crate::foreign::{Foreign, Seen, seen};
use crate::process::Process;
use crate::{cache, eventually, free_port};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: &'static str,
    pub brokers: usize,
    /// The cluster's: 16 bytes in base64.
    pub id: &'static str,
    /// Further lines of `server.properties`.
    pub properties: Vec<String>,
    /// Every broker gets a second listener on a port of its own that advertises a proxy's port.
    pub proxied: bool,
    /// Where the first broker listens, if that matters.
    pub port: Option<u16>,
    /// Options of Java.
    pub java: &'static [&'static str],
    /// Further listeners of every broker: name, security protocol, port.
    pub listeners: Vec<(&'static str, &'static str, u16)>,
    /// Users and passwords for SCRAM-SHA-256 and SCRAM-SHA-512, there from the first start on.
    pub scram: Vec<(String, String)>,
    pub controllers: Controllers,
}

/// Where the controllers of a cluster run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// Each broker is one.
    Combined,
    /// A process apart, from which brokers can be cut off.
    Apart,
}

/// Up quickly and small, for the tests.
const SMALL: &[&str] = &["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "4.4.0",
            brokers: 1,
            id: "Y3VybGV3LWluLXRlc3RzIQ",
            properties: Vec::new(),
            proxied: false,
            port: None,
            java: SMALL,
            listeners: Vec::new(),
            scram: Vec::new(),
            controllers: Controllers::Combined,
        }
    }
}

/// A cluster that is up. Ends, and its data go, when dropped.
pub struct Kafka {
    pub(crate) nodes: Vec<Node>,
    /// Where it runs apart.
    pub(crate) controller: Option<Controller>,
    _folder: TempDir,
}

pub(crate) struct Node {
    port: u16,
    behind_proxy: Option<Proxied>,
    version: &'static str,
    java: &'static [&'static str],
    folder: PathBuf,
    pub process: Option<Process>,
}

/// Where a proxy must listen, and where it must send what it gets.
#[derive(Debug, Clone, Copy)]
pub struct Proxied {
    pub listen: u16,
    pub upstream: u16,
}

impl Kafka {
    /// One 4.4.0 broker for all tests that leave it running as it is.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// One 3.9.1 broker likewise.
    pub fn shared_old() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options { version: "3.9.1", ..Options::default() }))
    }

    pub fn start(options: Options) -> Self {
        let folder = crate::lasting_folder("kafka");
        let mut ports: Vec<[u16; 4]> = (0..options.brokers).map(|_| std::array::from_fn(|_| free_port())).collect();
        ports[0][0] = options.port.unwrap_or(ports[0][0]);
        let controller = (options.controllers == Controllers::Apart).then(|| {
            let port = free_port();
            let controller = Controller::new(folder.path(), port);
            (controller.configure(port), controller)
        });
        let voters: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(i, [_, controller, ..])| format!("{}@127.0.0.1:{controller}", i + 1))
            .collect();
        let voters = controller.as_ref().map_or(voters.join(","), |(_, controller)| controller.voter());
        let nodes: Vec<Node> = ports
            .iter()
            .enumerate()
            .map(|(i, ports)| {
                let node = Node {
                    port: ports[0],
                    behind_proxy: options.proxied.then_some(Proxied { listen: ports[2], upstream: ports[3] }),
                    version: options.version,
                    java: options.java,
                    folder: folder.path().join(format!("node-{}", i + 1)),
                    process: None,
                };
                node.configure(i + 1, ports[1], &voters, &options);
                node
            })
            .collect();
        // Each costs the start of a JVM.
        std::thread::scope(|scope| {
            let properties = nodes.iter().map(Node::properties);
            for properties in properties.chain(controller.iter().map(|(properties, _)| properties.clone())) {
                let (java, options) = (nodes[0].java(), &options);
                scope.spawn(move || format(java, &properties, options));
            }
        });
        let mut kafka = Self { nodes, controller: controller.map(|(_, controller)| controller), _folder: folder };
        kafka.start_controller();
        kafka.nodes.iter_mut().for_each(Node::start);
        kafka.wait_until_ready(options.brokers);
        kafka
    }

    /// All brokers, as `--kafka` takes them.
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
        all.join(",")
    }

    /// Some of the brokers, which count from 1, likewise.
    pub fn bootstrap_of(&self, brokers: &[usize]) -> String {
        let some: Vec<String> =
            brokers.iter().map(|broker| format!("127.0.0.1:{}", self.nodes[broker - 1].port)).collect();
        some.join(",")
    }

    /// The brokers' places for proxies, in order, where asked for by [`Options::proxied`].
    pub fn proxied(&self) -> Vec<Proxied> {
        self.nodes.iter().filter_map(|n| n.behind_proxy).collect()
    }

    /// Creates a topic whose partitions have these replicas, the first of each its leader.
    pub fn create_on(&self, topic: &str, assignment: Value, config: Value) {
        self.call(json!({"do": "create", "topic": topic, "assignment": assignment, "config": config}));
    }

    pub(crate) fn wait_until_ready(&mut self, brokers: usize) {
        let bootstrap = self.bootstrap();
        eventually("Kafka is up", Duration::from_secs(90), || {
            for node in &mut self.nodes {
                if let Some(status) = node.process.as_mut().and_then(Process::exited) {
                    panic!("Kafka ended with {status}");
                }
            }
            let asked = json!({"do": "ready", "bootstrap": bootstrap, "brokers": brokers});
            Foreign::shared().try_call(asked)
        });
    }

    /// Runs a command of `Foreign.java` on this cluster.
    pub fn call(&self, command: Value) -> Value {
        let asked = command.to_string();
        Foreign::shared().try_call(self.addressed(command)).unwrap_or_else(|e| {
            let nodes = self.nodes.iter().filter_map(|n| n.process.as_ref());
            let brokers: Vec<String> = nodes.map(|b| format!("{}\n{}", b.end_of_log(), b.stacks())).collect();
            panic!("Java client: {e}\nwas asked {asked:.300}\n{}", brokers.join("\n"))
        })
    }

    pub(crate) fn addressed(&self, mut command: Value) -> Value {
        command["bootstrap"] = json!(self.bootstrap());
        command
    }

    pub fn create(&self, topic: &str, partitions: usize) {
        self.call(json!({"do": "create", "topic": topic, "partitions": partitions}));
    }

    pub fn create_with(&self, topic: &str, partitions: usize, config: Value) {
        self.call(json!({"do": "create", "topic": topic, "partitions": partitions, "config": config}));
    }

    /// A topic under a name of its own.
    pub fn fresh(&self, name: &str, partitions: usize) -> String {
        let topic = crate::fresh_topic(name);
        self.create(&topic, partitions);
        topic
    }

    /// Deletes a topic and waits until the name can be used again.
    pub fn delete(&self, topic: &str) {
        self.call(json!({"do": "delete", "topic": topic}));
        eventually("the topic is gone", Duration::from_secs(20), || {
            let asked = self.addressed(json!({"do": "leaders", "topic": topic}));
            match Foreign::shared().try_call(asked) {
                Err(e) if e.contains("UnknownTopic") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    pub fn set_partitions(&self, topic: &str, total: usize) {
        self.call(json!({"do": "partitions", "topic": topic, "total": total}));
    }

    /// Moves the log start offset, as retention would.
    pub fn delete_records(&self, topic: &str, partition: usize, before: i64) {
        self.call(json!({"do": "delete_records", "topic": topic, "partition": partition, "before": before}));
    }

    /// Produces with the Java client; returns (partition, offset) of each.
    pub fn produce(&self, topic: &str, records: Value) -> Vec<(i64, i64)> {
        self.produce_compressed(topic, "none", records)
    }

    /// Likewise, for another thread and as often as wanted, with the Java exception where there is one.
    pub fn producing(&self, topic: &str, records: Value) -> impl Fn() -> Result<Value, String> + Send + 'static {
        let asked = json!({"do": "produce", "topic": topic, "compression": "none", "records": records});
        let asked = self.addressed(asked);
        move || Foreign::shared().try_call(asked.clone())
    }

    pub fn produce_compressed(&self, topic: &str, compression: &str, records: Value) -> Vec<(i64, i64)> {
        places(&self.call(json!({"do": "produce", "topic": topic, "compression": compression, "records": records})))
    }

    /// Writes `records` in a transaction; `end` is `commit` or `abort`.
    pub fn transaction(&self, topic: &str, end: &str, records: Value) -> Vec<(i64, i64)> {
        places(&self.call(json!({"do": "transaction", "topic": topic, "end": end, "records": records})))
    }

    /// Everything committed in `topic` as the Java consumer sees it.
    pub fn consume(&self, topic: &str) -> Vec<Seen> {
        let records = self.call(json!({"do": "consume", "topic": topic}));
        records.as_array().expect("records").iter().map(seen).collect()
    }

    /// Where the Java client puts each key in a topic of so many partitions.
    pub fn partitions_for(&self, keys: &[Vec<u8>], partitions: usize) -> Vec<i64> {
        let keys: Vec<Value> = keys.iter().map(|k| crate::foreign::bytes(k)).collect();
        let answer = self.call(json!({"do": "partitions_for", "keys": keys, "partitions": partitions}));
        answer.as_array().expect("list").iter().map(|p| p.as_i64().expect("number")).collect()
    }

    /// Lets `principal` (`User:alice`) do `operation` (`READ`) on a topic.
    pub fn allow(&self, principal: &str, operation: &str, topic: &str) {
        self.call(json!({"do": "allow", "principal": principal, "operation": operation, "topic": topic}));
    }

    /// Takes back all that `principal` may do on a topic.
    pub fn forbid(&self, principal: &str, topic: &str) {
        self.call(json!({"do": "forbid", "principal": principal, "topic": topic}));
    }

    /// The node that is the active controller.
    pub fn active_controller(&self) -> usize {
        let node = self.call(json!({"do": "controller"}));
        node.as_u64().expect("a node") as usize
    }

    /// How many bytes a second clients with this id may produce.
    pub fn limit_producing(&self, client_id: &str, bytes: usize) {
        self.call(json!({"do": "quota", "client": client_id, "rate": bytes}));
    }

    /// The leader of each partition; `Err` while one has none.
    pub fn leaders(&self, topic: &str) -> Result<Vec<i64>, String> {
        let answer = Foreign::shared().try_call(self.addressed(json!({"do": "leaders", "topic": topic})))?;
        Ok(answer.as_array().expect("list").iter().map(|p| p.as_i64().expect("number")).collect())
    }
}

fn format(mut java: Command, properties: &Path, options: &Options) {
    let formatted = java
        .args(["kafka.tools.StorageTool", "format", "-t", options.id, "-c"])
        .arg(properties)
        .args(options.scram.iter().flat_map(|(user, password)| {
            ["256", "512"].into_iter().flat_map(move |hash| {
                let user = format!("SCRAM-SHA-{hash}=[name={user},password={password}]");
                ["--add-scram".to_owned(), user]
            })
        }))
        .output()
        .expect("java");
    assert!(formatted.status.success(), "StorageTool: {formatted:?}");
}

fn places(answer: &Value) -> Vec<(i64, i64)> {
    let number = |v: &Value| v.as_i64().expect("number");
    answer.as_array().expect("list").iter().map(|p| (number(&p[0]), number(&p[1]))).collect()
}

impl Node {
    pub fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(self.java)
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(cache().join(format!("kafka-{}/*", self.version)));
        java
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn configure(&self, id: usize, controller: u16, voters: &str, options: &Options) {
        let replicas = options.brokers.min(3);
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let roles = match options.controllers {
            Controllers::Combined => {
                listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
                "broker,controller"
            }
            Controllers::Apart => "broker",
        };
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        if let Some(proxied) = self.behind_proxy {
            listeners += &format!(",PROXIED://127.0.0.1:{}", proxied.upstream);
            advertised += &format!(",PROXIED://127.0.0.1:{}", proxied.listen);
        }
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT".to_owned();
        for (name, protocol, port) in &options.listeners {
            listeners += &format!(",{name}://127.0.0.1:{port}");
            advertised += &format!(",{name}://127.0.0.1:{port}");
            protocols += &format!(",{name}:{protocol}");
        }
        let mut lines = vec![
            format!("process.roles={roles}"),
            format!("node.id={id}"),
            format!("controller.quorum.voters={voters}"),
            format!("listeners={listeners}"),
            format!("advertised.listeners={advertised}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("listener.security.protocol.map={protocols}"),
            format!("log.dirs={}", self.folder.join("log").display()),
            format!("offsets.topic.replication.factor={replicas}"),
            "offsets.topic.num.partitions=1".to_owned(),
            format!("transaction.state.log.replication.factor={replicas}"),
            "transaction.state.log.min.isr=1".to_owned(),
            "transaction.state.log.num.partitions=2".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            // Tests write records of long ago, which must not go before they are read.
            "log.retention.ms=-1".to_owned(),
            "num.network.threads=2".to_owned(),
            "num.io.threads=4".to_owned(),
            "log.cleaner.dedupe.buffer.size=10485760".to_owned(),
        ];
        lines.extend(options.properties.iter().cloned());
        std::fs::create_dir_all(&self.folder).expect("folder");
        std::fs::write(self.properties(), lines.join("\n")).expect("server.properties");
    }

    pub fn start(&mut self) {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.properties());
        self.process = Some(Process::start("Kafka", java, &self.folder.join("broker.log")));
    }
}
