//! Records in the producer's queue, whose outcomes are awaited.

use super::ProduceTarget;
use super::body::BodyMemory;
use super::response::{RecordResult, ResponseMembers, respond};
use crate::broker::{Acks, BrokerError, DeliveryResult};
use crate::http::problem::Problem;
use crate::hub::{Hub, Rejected};
use crate::record::NewRecord;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use warp::http::HeaderMap;
use warp::reply::Response;

/// The entries of a request; the valid ones are in the producer's queue.
pub struct Queued {
    /// One element per entry, in order; `None` for a valid entry.
    invalid: Vec<Option<Problem>>,
    /// `None` if no entry is valid.
    pending: Option<PendingOutcomes>,
}

impl Queued {
    pub fn new(hub: &Hub, target: &ProduceTarget, entries: Vec<Result<NewRecord, Problem>>) -> Result<Self, Rejected> {
        let mut invalid = Vec::with_capacity(entries.len());
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            invalid.push(entry.map(|record| records.push(record)).err());
        }
        let pending = if records.is_empty() { None } else { Some(submit(hub, target, records)?) };
        Ok(Self { invalid, pending })
    }

    /// Waits for the results and responds with them. `held` stays reserved until the client has received the response.
    pub async fn respond(
        self,
        members: ResponseMembers,
        acks: Acks,
        headers: &HeaderMap,
        held: BodyMemory,
    ) -> Result<Response, Problem> {
        let outcomes = match self.pending {
            Some(pending) => pending.await,
            None => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        let entries = self.invalid.into_iter().map(|invalid| match invalid {
            Some(problem) => Err(problem),
            None => outcomes.next().unwrap_or(Err(BrokerError::LostTrack)).map_err(Problem::from),
        });
        respond(&entries.collect::<Vec<RecordResult>>(), members, acks, headers, held)
    }
}

/// Resolves to the outcomes of queued records, in their order.
pub struct PendingOutcomes(oneshot::Receiver<Vec<DeliveryResult>>);

impl Future for PendingOutcomes {
    /// Empty if the hub lost track of the records.
    type Output = Vec<DeliveryResult>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Result::unwrap_or_default)
    }
}

pub fn submit(hub: &Hub, target: &ProduceTarget, mut records: Vec<NewRecord>) -> Result<PendingOutcomes, Rejected> {
    if !target.added.is_empty() {
        records.iter_mut().for_each(|record| target.mark(record));
    }
    let (done, outcomes) = oneshot::channel();
    // If the client has disconnected, the receiver is gone. The records are still written.
    let report = move |outcomes| drop(done.send(outcomes));
    hub.produce(target.topic.clone(), target.acks, target.auto_create, records, report)?;
    Ok(PendingOutcomes(outcomes))
}
