//! The write side: one producer for all callers, batching and idempotent.
//!
//! One writer thread, the caller's, owns all state. It puts records into a [`queue`] for each
//! partition and sends requests itself; a thread for each connection ([`connection`]) awaits the answers
//! and settles what is written; two others ([`lookup`]) ask for topics and for producer ids. All of them
//! end with [`write_all`].

mod batch;
mod broker_state;
mod creation;
pub(super) mod encode;
mod lookup;
mod outcome;
mod partition_queue;
mod producer;
mod producer_connection;
mod producer_topic;
mod request;
mod request_size;

use super::cluster::ClusterClient;
use super::settings::ProducerSettings;
use crate::broker::{Backlogs, BrokerError, NodeId, Submission};
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread;

/// What the threads beside the writer tell it.
enum ProducerEvent {
    Connection(NodeId, partition_queue::ConnectionId, producer_connection::ConnectionEvent),
    Lookup(lookup::LookupReply),
}

/// Events wait for the writer there; a thread that finds it full waits too, and the writer takes
/// them before it sends anything.
const MAX_EVENTS: usize = 1024;

/// One of each kind may be on its way.
const MAX_LOOKUPS: usize = 3;

/// To the threads that look things up.
struct LookupThreads {
    requests: Sender<lookup::Lookup>,
    /// Brokers to get a producer id from.
    producer_ids: Sender<NodeId>,
}

/// Writes what comes until `submissions` is closed and all of it is settled; then all threads have ended.
///
/// Records of one partition and acks are written in the order in which they come. With `acks=all`
/// each is written once (KIP-98), whatever happens to connections and leaders, or its outcome says
/// that it may have been written.
pub fn write_all(cluster: &ClusterClient, settings: &ProducerSettings, submissions: &Receiver<Submission>) {
    let (events, event_receiver) = bounded(MAX_EVENTS);
    let (requests, lookup_requests) = bounded(MAX_LOOKUPS);
    let (producer_ids, producer_id_requests) = bounded(1);
    // A writer before this one may have ended in a panic.
    cluster.set_backlogs(Backlogs::default());
    thread::scope(|scope| {
        let reply = || {
            let replies = events.clone();
            move |reply| drop(replies.send(ProducerEvent::Lookup(reply)))
        };
        let (topics, ids) = (reply(), reply());
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let started = thread("kafka-lookup")
            .spawn_scoped(scope, move || lookup::serve_lookups(cluster, &lookup_requests, topics))
            .and_then(|_| {
                let get = move || lookup::serve_producer_ids(cluster, &producer_id_requests, ids);
                thread("kafka-producer-id").spawn_scoped(scope, get)
            });
        let lookups = LookupThreads { requests, producer_ids };
        match started {
            Ok(_) => {
                producer::Producer::new(scope, (cluster, settings), events, lookups).run(submissions, &event_receiver)
            }
            // Dropping the submissions settles them.
            Err(error) => log::error!("no thread to look up topics: {error}"),
        }
        // Whoever still wants to tell something must not wait for the writer.
        drop(event_receiver);
    });
}

/// Does `work` of a thread beside the writer, which ends some time: whoever waits for what comes of it waits no longer when it panics.
fn panic_as_error<T>(work: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
    let panicked = || Err(BrokerError::Internal("a thread panicked".to_owned()));
    let _busy = watchdog::busy();
    watchdog::catch_panic(work).unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests;
