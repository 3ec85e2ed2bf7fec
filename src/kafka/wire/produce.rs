//! The producer: idempotent and batching, shared by all callers.
//!
//! One thread, the caller's, owns all state ([`producer`]). It appends records to a [`partition_queue`] per partition
//! and sends requests itself. A thread per connection ([`producer_connection`]) receives the responses and settles
//! the records that were written. Two more threads ([`lookup`]) fetch topic metadata and producer ids. All of them
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
use crate::broker::{Backlogs, BrokerError, Cause, NodeId, Submission};
use crate::sync::watchdog;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread;

/// An event that another thread reports to the producer thread.
enum ProducerEvent {
    Connection(NodeId, partition_queue::ConnectionId, producer_connection::ConnectionEvent),
    Lookup(lookup::LookupReply),
}

/// Capacity of the event channel. A thread that finds it full blocks; the producer thread drains it before it sends.
const MAX_EVENTS: usize = 1024;

/// One lookup of each kind may be pending.
const MAX_LOOKUPS: usize = 3;

/// Channels to the lookup threads.
struct LookupThreads {
    requests: Sender<lookup::ProducerLookup>,
    /// Brokers to request a producer id from.
    producer_ids: Sender<NodeId>,
}

/// Writes submissions until the channel is closed and every record is settled. All threads of the producer have ended
/// when it returns.
///
/// Records with the same partition and acks are written in the order of submission. With `acks=all` each record is
/// written once (KIP-98), across broken connections and changes of the leader; otherwise its outcome says that it may
/// have been written.
pub fn write_all(cluster: &ClusterClient, settings: &ProducerSettings, submissions: &Receiver<Submission>) {
    let (events, event_receiver) = bounded(MAX_EVENTS);
    let (requests, lookup_requests) = bounded(MAX_LOOKUPS);
    let (producer_ids, producer_id_requests) = bounded(1);
    // The previous producer may have ended in a panic.
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
            Err(error) => log::error!("cannot start the lookup threads of the producer: {error}"),
        }
        // Threads that still report events must not block on a full channel.
        drop(event_receiver);
    });
}

/// A fault of the producer itself.
#[derive(Debug, thiserror::Error)]
enum ProducerFault {
    #[error("a producer thread panicked")]
    Panicked,
    #[error("cannot start a connection thread: {0}")]
    NoThread(#[source] std::io::Error),
}

/// Runs `work` and turns a panic into an error, so that nothing waits for its result forever.
fn panic_as_error<T>(work: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
    let panicked = || Err(BrokerError::Internal(Cause::new(ProducerFault::Panicked)));
    let _busy = watchdog::busy();
    watchdog::catch_panic(work).unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests;
