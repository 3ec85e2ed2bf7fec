//! Three real brokers and their faults: killed, frozen, cut off from the controller, all down. Under load, every
//! acknowledged record is in the log once, and every stream delivers exactly the log.
//!
//! The time from the fault to the next acknowledgement is printed next to that of Kafka's own Java client, which
//! writes to a topic with the same leaders meanwhile. With `$CURLEW_SOAK` (seconds) random faults continue for that
//! long, and that time must not exceed 1.2 times the Java client's plus a second.

mod load;
mod others;
mod recreated;
mod regrown;
mod unknown;

use curlew_integration::bridge::Bridge;
use curlew_integration::eventually;
use curlew_integration::follow::Follower;
use curlew_integration::kafka::{Controllers, Kafka, Options};
use load::{Load, Summary, check_log, check_stream, read_log};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(90);
const PARTITIONS: i64 = 3;

/// One cluster for all tests, which run one after the other.
struct SharedCluster {
    kafka: Kafka,
    /// Bootstraps from broker 1, which most faults affect.
    bridge: Bridge,
}

fn shared_cluster() -> MutexGuard<'static, SharedCluster> {
    static SHARED: OnceLock<Mutex<SharedCluster>> = OnceLock::new();
    let world = SHARED.get_or_init(|| {
        let small = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let properties = [
            "default.replication.factor=3",
            "min.insync.replicas=2",
            // A broker counts as failed after the controller's `broker.session.timeout.ms`.
            "broker.heartbeat.interval.ms=500",
            "controller.quorum.request.timeout.ms=2000",
        ];
        let kafka = Kafka::start(Options {
            brokers: 3,
            controllers: Controllers::Separate,
            java: small,
            properties: properties.map(str::to_owned).to_vec(),
            ..Options::default()
        });
        let bootstrap = kafka.bootstrap();
        let bridge = Bridge::start(bootstrap.split(',').next().expect("a broker"));
        Mutex::new(SharedCluster { kafka, bridge })
    });
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a topic of three partitions. Broker 1 leads the first, 2 the second and 3 the third.
fn topic(kafka: &Kafka, name: &str) -> String {
    let topic = curlew_integration::fresh_topic(name);
    kafka.create_on(&topic, json!([[1, 2, 3], [2, 3, 1], [3, 1, 2]]), json!({"min.insync.replicas": "2"}));
    topic
}

/// Kafka's Java producer, which writes one record after the other from the fault on.
struct Reference {
    ending: Arc<AtomicBool>,
    /// The time at which the pending record was sent, and the longest time that a record has taken so far.
    took: Arc<Mutex<(Instant, Duration)>>,
}

impl Reference {
    fn start(kafka: &Kafka, topic: &str) -> Self {
        let (ending, took) = (Arc::<AtomicBool>::default(), Arc::new(Mutex::new((Instant::now(), Duration::ZERO))));
        let reference = Self { ending: ending.clone(), took: took.clone() };
        let produce = kafka.producer(topic, json!([{"partition": 0, "value": "at the fault"}]));
        std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let sent = Instant::now();
                took.lock().expect("lock").0 = sent;
                let _ = produce();
                let mut took = took.lock().expect("lock");
                took.1 = took.1.max(sent.elapsed());
            }
        });
        reference
    }

    /// Returns the longest time so far, without waiting for a pending record.
    fn longest(self) -> Duration {
        self.ending.store(true, Ordering::Relaxed);
        let (sent, longest) = *self.took.lock().expect("lock");
        longest.max(sent.elapsed())
    }
}

/// Polls `/ready` and keeps the responses.
struct Readiness {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(u16, String)>>,
}

impl Readiness {
    fn watch(port: u16) -> Self {
        let ending = Arc::<AtomicBool>::default();
        let ends = ending.clone();
        let thread = std::thread::spawn(move || {
            let mut responses = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                let response = curlew_integration::http::get(port, "/ready");
                responses.push((response.status, response.text()));
                std::thread::sleep(Duration::from_millis(100));
            }
            responses
        });
        Self { ending, thread }
    }

    fn responses(self) -> Vec<(u16, String)> {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().expect("a thread")
    }
}

/// A fault of the cluster, and how to heal it.
struct Fault {
    name: &'static str,
    begin: fn(&mut Kafka),
    /// Returns `Ok` once the bridge sees the fault.
    is_visible: fn(&Bridge, &str) -> Result<(), String>,
    recovers: Recovers,
    heal: fn(&mut Kafka),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Recovers {
    /// The cluster recovers while the fault lasts.
    DuringFault,
    AfterHealing,
}

/// The result of a fault.
struct Survived {
    /// The longest time without an acknowledgement on the partition that broker 1 led, here and with Java's client.
    silence: Duration,
    java: Duration,
    /// The responses of `/ready` meanwhile.
    responses: Vec<(u16, String)>,
    summary: Summary,
}

fn another_leads(bridge: &Bridge, topic: &str) -> Result<(), String> {
    let answer = bridge.get(&format!("/topics/{topic}"));
    match answer.status {
        200 if answer.json()["partitions"][0]["leader"].as_i64().is_some_and(|leader| leader != 1) => Ok(()),
        _ => Err(answer.text()),
    }
}

/// Broker 1 is neither listed nor in sync.
fn a_broker_is_missing(bridge: &Bridge, topic: &str) -> Result<(), String> {
    another_leads(bridge, topic)?;
    let answer = bridge.get(&format!("/topics/{topic}/partitions/0"));
    if answer.status != 200 {
        return Err(answer.text());
    }
    let partition = answer.json();
    let replicas = partition["replicas"].as_array().ok_or("no replicas")?;
    let lagging: Vec<_> = replicas.iter().filter(|replica| replica["in_sync"] == false).collect();
    let is_leader = |replica: &serde_json::Value| replica["leader"] == true && replica["broker"] == partition["leader"];
    let brokers = bridge.get("/brokers").text();
    match lagging[..] {
        [lagging] if lagging["broker"] == 1 && replicas.iter().any(is_leader) && brokers.contains("[2,3]") => Ok(()),
        _ => Err(format!("{partition} {brokers}")),
    }
}

fn no_broker_responds(bridge: &Bridge, _: &str) -> Result<(), String> {
    match bridge.get("/ready") {
        ready if ready.status == 503 => Ok(()),
        ready => Err(ready.text()),
    }
}

/// Injects a fault under load, waits until every partition is written again, and checks log and stream.
fn survives(fault: &Fault) -> Survived {
    let SharedCluster { kafka, bridge } = &mut *shared_cluster();
    let name = fault.name;
    let (own, java) = (topic(kafka, name), topic(kafka, &format!("{name}-java")));
    kafka.produce(&java, json!([{"partition": 0, "value": "before"}]));
    let follower = Follower::start(bridge.port, &format!("/topics/{own}/events"));
    follower.wait_for_id();
    let load = Load::start(bridge.port, &own, PARTITIONS);
    load.wait_for_all(20, Instant::now(), LONG);

    let at_fault = Instant::now();
    (fault.begin)(kafka);
    let reference = Reference::start(kafka, &java);
    let readiness = Readiness::watch(bridge.port);
    eventually("the bridge sees the fault", LONG, || (fault.is_visible)(bridge, &own));
    if fault.recovers == Recovers::AfterHealing {
        (fault.heal)(kafka);
    }
    load.wait_for_all(5, Instant::now(), LONG);
    let (responses, java_took) = (readiness.responses(), reference.longest());
    let silences: Vec<_> = (0..PARTITIONS).map(|partition| load.longest_silence(partition, at_fault)).collect();
    if fault.recovers == Recovers::DuringFault {
        (fault.heal)(kafka);
    }
    kafka.wait_for_isr(&own, 3);
    load.wait_for_all(20, Instant::now(), LONG);

    let outcomes = load.stop();
    let log = read_log(kafka, &own, &outcomes);
    let summary = check_log(&outcomes, &log);
    follower.seen.wait_for_records(log.len(), LONG);
    check_stream(&follower.seen.events(), &log, PARTITIONS);
    println!("{name}: no acknowledgement for {silences:.1?}, Java's client on the first {java_took:.1?}; {summary:?}");
    Survived { silence: silences[0], java: java_took, responses, summary }
}

/// The bridge stays ready while two of three brokers are up.
#[track_caller]
fn assert_always_ready(responses: &[(u16, String)]) {
    let unready: Vec<_> = responses.iter().filter(|(status, _)| *status != 200).collect();
    assert!(unready.is_empty(), "{unready:?}");
}

const KILLED: Fault = Fault {
    name: "killed",
    begin: |kafka| kafka.kill(1),
    is_visible: a_broker_is_missing,
    recovers: Recovers::DuringFault,
    heal: |kafka| kafka.restart(1),
};

const FROZEN: Fault = Fault {
    name: "frozen",
    begin: |kafka| kafka.freeze(1),
    is_visible: another_leads,
    recovers: Recovers::DuringFault,
    heal: |kafka| kafka.thaw(1),
};

const CUT_OFF: Fault = Fault {
    name: "cut-off",
    begin: |kafka| kafka.cut_off(1),
    is_visible: another_leads,
    recovers: Recovers::DuringFault,
    heal: |kafka| kafka.reconnect(1),
};

const ALL_DOWN: Fault = Fault {
    name: "all-down",
    begin: |kafka| (1..=3).for_each(|broker| kafka.kill(broker)),
    is_visible: no_broker_responds,
    recovers: Recovers::AfterHealing,
    heal: Kafka::restart_all,
};

/// `min.insync.replicas` is 2.
const TOO_FEW_REPLICAS: Fault = Fault {
    name: "too-few-replicas",
    begin: |kafka| (2..=3).for_each(|broker| kafka.kill(broker)),
    is_visible: nothing_can_be_written,
    recovers: Recovers::AfterHealing,
    heal: Kafka::restart_all,
};

fn nothing_can_be_written(bridge: &Bridge, topic: &str) -> Result<(), String> {
    let ready = bridge.get("/ready");
    if ready.status != 503 || !ready.text().contains("none was acknowledged") {
        return Err(ready.text());
    }
    let metrics = bridge.get("/metrics").text();
    let gauge = format!("curlew_unwritable_partitions{{topic=\"{topic}\"}} {PARTITIONS}\n");
    assert!(metrics.contains(&gauge), "{gauge} is missing in {metrics}");
    let waiting = format!("curlew_oldest_waiting_record_seconds{{topic=\"{topic}\"}} ");
    let (_, oldest) = metrics.split_once(&waiting).expect("the age of the oldest record");
    let oldest: u64 = oldest.lines().next().and_then(|seconds| seconds.parse().ok()).expect("a number");
    assert!(oldest >= 5, "records wait for {oldest} s");
    Ok(())
}

/// Broker 1 leads one partition and follows two.
#[test]
fn a_killed_leader_and_follower_loses_nothing_and_repeats_nothing() {
    let survived = survives(&KILLED);
    assert_always_ready(&survived.responses);
    assert_eq!(survived.summary.unconfirmed, 0);
}

#[test]
fn a_frozen_leader_is_replaced_and_the_bridge_stays_ready() {
    assert_always_ready(&survives(&FROZEN).responses);
}

#[test]
fn a_leader_that_is_cut_off_from_the_controller_is_replaced() {
    assert_always_ready(&survives(&CUT_OFF).responses);
    let log = shared_cluster().bridge.log();
    assert!(log.contains("no response for"), "{log}");
}

/// The long form: `make soak`.
#[test]
#[ignore = "takes as long as $CURLEW_SOAK says"]
fn random_faults_lose_nothing_and_recovery_is_as_fast_as_with_the_java_client() {
    let seconds = std::env::var("CURLEW_SOAK").map_or(600, |n| n.parse().expect("CURLEW_SOAK is a number of seconds"));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let fault = fastrand::choice([&KILLED, &FROZEN, &CUT_OFF, &ALL_DOWN]).expect("a fault");
        let Survived { silence, java, summary, .. } = survives(fault);
        assert!(silence <= java.mul_f64(1.2) + Duration::from_secs(1), "{}: {silence:?}, Java {java:?}", fault.name);
        assert_eq!(summary.unconfirmed, 0, "{}", fault.name);
    }
}

#[test]
fn a_bridge_is_not_ready_while_brokers_respond_and_nothing_can_be_written() {
    survives(&TOO_FEW_REPLICAS);
    let SharedCluster { bridge, .. } = &*shared_cluster();
    eventually("the bridge is ready again", LONG, || match bridge.get("/ready") {
        ready if ready.status == 200 => Ok(()),
        ready => Err(ready.text()),
    });
    let metrics = bridge.get("/metrics").text();
    assert!(!metrics.contains("curlew_unwritable_partitions{topic=\"too-few-replicas"), "{metrics}");
}

#[test]
fn streams_resume_after_an_outage_of_all_brokers() {
    survives(&ALL_DOWN);
}
