//! Demo data: the last minutes of a simulated plant, then one report per machine and second.

mod plant;

use crate::broker::{Acks, AutoCreate};
use crate::hub::{Hub, Rejected};
use crate::record::{self, Header, NewRecord, Timestamp, TopicName};
use crate::sync::worker::Worker;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{info, warn};
use plant::{Fan, MACHINES, Machine};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The names mark the data as demo data.
const REPORTS: &str = "demo-plant";
const EVENTS: &str = "demo-events";

const TICK: Duration = Duration::from_secs(1);
/// Length and step of the history that is produced at startup, in ms, so that charts are not empty at first.
const HISTORY: Timestamp = 10 * 60 * 1000;
const STEP: Timestamp = 2000;

/// The thread that produces reports. Dropping it ends and joins the thread.
pub struct Plant {
    // Declared first, so that it is closed before the thread is joined.
    _ended: Sender<()>,
    _worker: Worker,
}

impl Plant {
    /// Starts the thread.
    pub fn start(hub: Arc<Hub>) -> io::Result<Self> {
        let (ended, is_ended) = bounded(0);
        let _worker = Worker::start("demo", move || run(&hub, &is_ended))?;
        Ok(Self { _ended: ended, _worker })
    }
}

fn run(hub: &Hub, ended: &Receiver<()>) {
    let mut noise = fastrand::Rng::with_seed(1);
    let now = record::now();
    let times: Vec<Timestamp> = (now - HISTORY..now).step_by(STEP as usize).collect();
    produce(hub, REPORTS, times.iter().flat_map(|at| reports(*at, &mut noise)).collect());
    produce(hub, EVENTS, times.windows(2).filter_map(|pair| event(pair[0], pair[1])).collect());
    info!("producing demo data to {REPORTS} and {EVENTS}: one simulated report per machine and second");
    let (mut last, mut due) = (now, Instant::now());
    loop {
        // After a stall, missed reports are skipped, not caught up.
        due = (due + TICK).max(Instant::now());
        if ended.recv_deadline(due) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let now = record::now();
        produce(hub, REPORTS, reports(now, &mut noise));
        produce(hub, EVENTS, event(last, now).into_iter().collect());
        last = now;
    }
}

fn produce(hub: &Hub, topic: &str, records: Vec<NewRecord>) {
    let Ok(topic) = TopicName::new(topic) else { return };
    if records.is_empty() {
        return;
    }
    let queued = hub.produce(topic, Acks::Leader, AutoCreate::Ask, records, |outcomes| {
        if let Some(error) = outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
            warn!("cannot write demo data: {error}");
        }
    });
    match queued {
        Ok(()) | Err(Rejected::ShuttingDown) => {}
        Err(reason) => warn!("cannot produce demo data: {reason}"),
    }
}

fn reports(at: Timestamp, noise: &mut fastrand::Rng) -> Vec<NewRecord> {
    MACHINES.iter().map(|machine| record(*machine, machine.report(at, noise), at, Vec::new())).collect()
}

/// Returns an event if the fan's state has changed since `before`.
fn event(before: Timestamp, at: Timestamp) -> Option<NewRecord> {
    let state = plant::fan(at);
    if plant::fan(before) == state {
        return None;
    }
    let (severity, text) = match state {
        Fan::Running => ("info", "back in service"),
        Fan::HeatingUp => ("warning", "bearing temperature rises"),
        Fan::Overheated => ("critical", "overheated, taken out of service"),
        Fan::CoolingDown => ("info", "cooling down"),
    };
    let value = format!("{{\"event\":\"{text}\",\"temperature\":{:.1}}}", plant::fan_temperature(at));
    Some(record(Machine::Fan(1), value, at, vec![header("severity", severity)]))
}

fn record(machine: Machine, value: String, at: Timestamp, mut headers: Vec<Header>) -> NewRecord {
    headers.push(header("demo", "true"));
    NewRecord {
        partition: None,
        key: Some(machine.name().into()),
        value: Some(value.into()),
        headers,
        timestamp: Some(at),
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: Some(value.to_owned().into()) }
}
