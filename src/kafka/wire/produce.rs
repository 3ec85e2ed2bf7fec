//! The write side: one producer for all callers, batching and idempotent.
//!
//! One writer thread, the caller's, owns all state. It puts records into a [`queue`] for each
//! partition and sends requests itself; a thread for each connection ([`link`]) awaits the answers
//! and settles what is written; two others ([`lookup`]) ask for topics and for producer ids. All of them
//! end with [`write_all`].

mod answer;
mod batch;
mod broker_state;
mod creation;
pub(super) mod encode;
mod lookup;
mod partition_queue;
mod producer;
mod producer_connection;
mod producer_topic;
mod request;
mod room;

use super::cluster::ClusterClient;
use super::settings::ProducerSettings;
use crate::broker::{Backlogs, BrokerError, NodeId, Submission};
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread;

/// What the threads beside the writer tell it.
enum ProducerEvent {
    Link(NodeId, partition_queue::ConnectionId, producer_connection::ConnectionEvent),
    Reply(lookup::LookupReply),
}

/// Events wait for the writer there; a thread that finds it full waits too, and the writer takes
/// them before it sends anything.
const EVENTS: usize = 1024;

/// One of each kind may be on its way.
const QUESTIONS: usize = 3;

/// To the threads that look things up.
struct LookupThreads {
    questions: Sender<lookup::Lookup>,
    /// Brokers to get a producer id from.
    producer_ids: Sender<NodeId>,
}

/// Writes what comes until `submissions` is closed and all of it is settled; then all threads have ended.
///
/// Records of one partition and acks are written in the order in which they come. With `acks=all`
/// each is written once (KIP-98), whatever happens to connections and leaders, or its outcome says
/// that it may have been written.
pub fn write_all(cluster: &ClusterClient, settings: &ProducerSettings, submissions: &Receiver<Submission>) {
    let (events, told) = bounded(EVENTS);
    let (questions, asked) = bounded(QUESTIONS);
    let (producer_ids, wanted) = bounded(1);
    // A writer before this one may have ended in a panic.
    cluster.tell_backlogs(Backlogs::default());
    thread::scope(|scope| {
        let reply = || {
            let replies = events.clone();
            move |reply| drop(replies.send(ProducerEvent::Reply(reply)))
        };
        let (topics, ids) = (reply(), reply());
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let started = thread("kafka-lookup")
            .spawn_scoped(scope, move || lookup::answer_all(cluster, &asked, topics))
            .and_then(|_| {
                let get = move || lookup::get_producer_ids(cluster, &wanted, ids);
                thread("kafka-producer-id").spawn_scoped(scope, get)
            });
        let lookups = LookupThreads { questions, producer_ids };
        match started {
            Ok(_) => producer::Producer::new(scope, (cluster, settings), events, lookups).run(submissions, &told),
            // Dropping the submissions settles them.
            Err(error) => log::error!("no thread to look up topics: {error}"),
        }
        // Whoever still wants to tell something must not wait for the writer.
        drop(told);
    });
}

/// Does `work` of a thread beside the writer, which ends some time: whoever waits for what comes of it waits no longer when it panics.
fn caught<T>(work: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
    let panicked = || Err(BrokerError::Internal("a thread panicked".to_owned()));
    let _at_work = watchdog::busy();
    watchdog::catch_panic(work).unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests;
