//! Kafka brokers of any version: one or a cluster, with combined or separate controllers (KRaft).

use crate::controller::Controller;
use crate::java_client::{ConsumedRecord, JavaClient, parse_record};
use crate::process::Process;
use crate::{cache, eventually, free_port};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// The configuration of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: &'static str,
    pub brokers: usize,
    /// The cluster id: 16 bytes in base64.
    pub id: &'static str,
    /// Additional lines of `server.properties`.
    pub properties: Vec<String>,
    /// Gives every broker a second listener, which advertises the port of a proxy.
    pub proxied: bool,
    /// The port of the first broker; `None` for a free one.
    pub port: Option<u16>,
    /// JVM options.
    pub java: &'static [&'static str],
    /// Additional listeners of every broker: name, security protocol, port.
    pub listeners: Vec<(&'static str, &'static str, u16)>,
    /// Users with passwords for SCRAM-SHA-256 and SCRAM-SHA-512, created when the storage is formatted.
    pub scram: Vec<(String, String)>,
    pub controllers: Controllers,
}

/// Where the controllers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// Each broker is also a controller.
    Combined,
    /// One controller in a separate process, from which brokers can be cut off.
    Separate,
}

/// A small heap and a fast start, for tests.
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

/// A running cluster. Dropping it stops the cluster and deletes its data.
pub struct Kafka {
    pub(crate) nodes: Vec<Node>,
    /// Set if the controller runs in a separate process.
    pub(crate) controller: Option<Controller>,
    _directory: TempDir,
}

pub(crate) struct Node {
    port: u16,
    behind_proxy: Option<Proxied>,
    version: &'static str,
    java: &'static [&'static str],
    directory: PathBuf,
    pub process: Option<Process>,
}

/// The port at which a proxy must listen, and the port to which it must connect.
#[derive(Debug, Clone, Copy)]
pub struct Proxied {
    pub listen: u16,
    pub upstream: u16,
}

impl Kafka {
    /// Returns a shared 4.4.0 broker, for tests that do not change it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// Returns a shared 3.9.1 broker, for tests that do not change it.
    pub fn shared_old() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options { version: "3.9.1", ..Options::default() }))
    }

    pub fn start(options: Options) -> Self {
        let directory = crate::shared_directory("kafka");
        let mut ports: Vec<[u16; 4]> = (0..options.brokers).map(|_| std::array::from_fn(|_| free_port())).collect();
        ports[0][0] = options.port.unwrap_or(ports[0][0]);
        let controller = (options.controllers == Controllers::Separate).then(|| {
            let port = free_port();
            let controller = Controller::new(directory.path(), port);
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
                    directory: directory.path().join(format!("node-{}", i + 1)),
                    process: None,
                };
                node.configure(i + 1, ports[1], &voters, &options);
                node
            })
            .collect();
        // Each of these starts a JVM.
        std::thread::scope(|scope| {
            let properties = nodes.iter().map(Node::properties);
            for properties in properties.chain(controller.iter().map(|(properties, _)| properties.clone())) {
                let (java, options) = (nodes[0].java(), &options);
                scope.spawn(move || format(java, &properties, options));
            }
        });
        let mut kafka = Self { nodes, controller: controller.map(|(_, controller)| controller), _directory: directory };
        kafka.start_controller();
        kafka.nodes.iter_mut().for_each(Node::start);
        kafka.wait_until_ready(options.brokers);
        kafka
    }

    /// Returns the addresses of all brokers, as `--kafka` accepts them.
    pub fn bootstrap(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
        all.join(",")
    }

    /// Returns the addresses of some brokers, by their ids, which start at 1.
    pub fn bootstrap_of(&self, brokers: &[usize]) -> String {
        let some: Vec<String> =
            brokers.iter().map(|broker| format!("127.0.0.1:{}", self.nodes[broker - 1].port)).collect();
        some.join(",")
    }

    /// Returns the ports for proxies, one pair per broker, if [`Options::proxied`] is set.
    pub fn proxied(&self) -> Vec<Proxied> {
        self.nodes.iter().filter_map(|n| n.behind_proxy).collect()
    }

    /// Creates a topic with the given replicas of each partition. The first replica is the leader.
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
            let request = json!({"do": "ready", "bootstrap": bootstrap, "brokers": brokers});
            JavaClient::shared().try_call(request)
        });
    }

    /// Sends a command to `KafkaClient.java`, with the address of this cluster.
    pub fn call(&self, command: Value) -> Value {
        let request = command.to_string();
        JavaClient::shared().try_call(self.with_bootstrap(command)).unwrap_or_else(|e| {
            let nodes = self.nodes.iter().filter_map(|n| n.process.as_ref());
            let brokers: Vec<String> = nodes.map(|b| format!("{}\n{}", b.end_of_log(), b.stacks())).collect();
            panic!("Java client: {e}\ncommand {request:.300}\n{}", brokers.join("\n"))
        })
    }

    pub(crate) fn with_bootstrap(&self, mut command: Value) -> Value {
        command["bootstrap"] = json!(self.bootstrap());
        command
    }

    pub fn create(&self, topic: &str, partitions: usize) {
        self.call(json!({"do": "create", "topic": topic, "partitions": partitions}));
    }

    pub fn create_with(&self, topic: &str, partitions: usize, config: Value) {
        self.call(json!({"do": "create", "topic": topic, "partitions": partitions, "config": config}));
    }

    /// Creates a topic with a unique name, and returns the name.
    pub fn fresh(&self, name: &str, partitions: usize) -> String {
        let topic = crate::fresh_topic(name);
        self.create(&topic, partitions);
        topic
    }

    /// Deletes a topic, and waits until the name can be reused.
    pub fn delete(&self, topic: &str) {
        self.call(json!({"do": "delete", "topic": topic}));
        eventually("the topic is gone", Duration::from_secs(20), || {
            let request = self.with_bootstrap(json!({"do": "leaders", "topic": topic}));
            match JavaClient::shared().try_call(request) {
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

    /// Produces with the Java client, and returns the partition and offset of each record.
    pub fn produce(&self, topic: &str, records: Value) -> Vec<(i64, i64)> {
        self.produce_compressed(topic, "none", records)
    }

    /// Returns a function that produces `records` each time it is called, on any thread. An error is the Java
    /// exception.
    pub fn producer(&self, topic: &str, records: Value) -> impl Fn() -> Result<Value, String> + Send + 'static {
        let request = json!({"do": "produce", "topic": topic, "compression": "none", "records": records});
        let request = self.with_bootstrap(request);
        move || JavaClient::shared().try_call(request.clone())
    }

    pub fn produce_compressed(&self, topic: &str, compression: &str, records: Value) -> Vec<(i64, i64)> {
        locations(&self.call(json!({"do": "produce", "topic": topic, "compression": compression, "records": records})))
    }

    /// Writes `records` in a transaction. `end` is `commit` or `abort`.
    pub fn transaction(&self, topic: &str, end: &str, records: Value) -> Vec<(i64, i64)> {
        locations(&self.call(json!({"do": "transaction", "topic": topic, "end": end, "records": records})))
    }

    /// Returns all committed records of `topic`, as the Java consumer reads them.
    pub fn consume(&self, topic: &str) -> Vec<ConsumedRecord> {
        let records = self.call(json!({"do": "consume", "topic": topic}));
        records.as_array().expect("records").iter().map(parse_record).collect()
    }

    /// Returns the partition that the Java client chooses for each key, in a topic with `partitions` partitions.
    pub fn partitions_for(&self, keys: &[Vec<u8>], partitions: usize) -> Vec<i64> {
        let keys: Vec<Value> = keys.iter().map(|k| crate::java_client::bytes(k)).collect();
        let answer = self.call(json!({"do": "partitions_for", "keys": keys, "partitions": partitions}));
        answer.as_array().expect("list").iter().map(|p| p.as_i64().expect("number")).collect()
    }

    /// Adds an ACL that allows `principal` (`User:alice`) an `operation` (`READ`) on a topic.
    pub fn allow(&self, principal: &str, operation: &str, topic: &str) {
        self.call(json!({"do": "allow", "principal": principal, "operation": operation, "topic": topic}));
    }

    /// Removes all ACLs of `principal` on a topic.
    pub fn revoke(&self, principal: &str, topic: &str) {
        self.call(json!({"do": "forbid", "principal": principal, "topic": topic}));
    }

    /// Returns the node id of the active controller.
    pub fn active_controller(&self) -> usize {
        let node = self.call(json!({"do": "controller"}));
        node.as_u64().expect("a node") as usize
    }

    /// Sets a quota for clients with this id, in bytes per second.
    pub fn set_producer_quota(&self, client_id: &str, bytes: usize) {
        self.call(json!({"do": "quota", "client": client_id, "rate": bytes}));
    }

    /// Returns the leader of each partition, or an error while a partition has no leader.
    pub fn leaders(&self, topic: &str) -> Result<Vec<i64>, String> {
        let answer = JavaClient::shared().try_call(self.with_bootstrap(json!({"do": "leaders", "topic": topic})))?;
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

fn locations(answer: &Value) -> Vec<(i64, i64)> {
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
        self.directory.join("server.properties")
    }

    fn configure(&self, id: usize, controller: u16, voters: &str, options: &Options) {
        let replicas = options.brokers.min(3);
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let roles = match options.controllers {
            Controllers::Combined => {
                listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
                "broker,controller"
            }
            Controllers::Separate => "broker",
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
            format!("log.dirs={}", self.directory.join("log").display()),
            format!("offsets.topic.replication.factor={replicas}"),
            "offsets.topic.num.partitions=1".to_owned(),
            format!("transaction.state.log.replication.factor={replicas}"),
            "transaction.state.log.min.isr=1".to_owned(),
            "transaction.state.log.num.partitions=2".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            // Tests write records with old timestamps, which retention must not delete.
            "log.retention.ms=-1".to_owned(),
            "num.network.threads=2".to_owned(),
            "num.io.threads=4".to_owned(),
            "log.cleaner.dedupe.buffer.size=10485760".to_owned(),
        ];
        lines.extend(options.properties.iter().cloned());
        std::fs::create_dir_all(&self.directory).expect("directory");
        std::fs::write(self.properties(), lines.join("\n")).expect("server.properties");
    }

    pub fn start(&mut self) {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.properties());
        self.process = Some(Process::start("Kafka", java, &self.directory.join("broker.log")));
    }
}
