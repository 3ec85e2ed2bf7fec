//! Delivers records, gaps and changes of a topic to all feeds that read it.

use super::feed::DeliveryBudget;
use super::registry::Live;
use super::tail::{Tail, from_beginning};
use crate::broker::{BrokerError, FetchPosition, PartitionData, TopicInfo};
use crate::cursor::IdTag;
use crate::hub::stream::filter_input::FilterInput;
use crate::hub::stream::gap::Loss;
use crate::hub::stream::time_budget::TimeBudget;
use crate::record::{Epoch, now};
use crate::sync::lock;
use std::sync::Arc;
use std::time::Duration;

/// Maximum age of records that count in the delivery latency. Older records were not written just now, or have a wrong
/// timestamp.
const OLD: Duration = Duration::from_secs(3600);

impl Live {
    /// Delivers the records of one fetch from one partition to all feeds of the topic.
    pub fn deliver(&self, tail: &Tail, position: &FetchPosition, data: PartitionData, budget: &TimeBudget) {
        let (partition, from) = (position.partition, position.offset);
        let (next, end) = (data.next_offset, data.end);
        let most = self.recent_bytes / lock(&self.registry).tails.len().max(1);
        let _in_order = lock(&tail.dispatch);
        let batches = Arc::new(data.batches);
        let mut feeds = {
            let mut state = tail.state();
            let most = most / state.partitions.len().max(1);
            match state.partition(partition) {
                Some(current) if current.is_at(position) => {
                    current.end = end;
                    current.advance(next, batches.clone(), data.epochs.clone(), position.leader_epoch, most);
                }
                // Another thread has delivered them already, or the topic was recreated.
                _ => return,
            }
            state.feeds.clone()
        };
        let conditions = feeds.iter().filter(|feed| feed.key.filter.condition.is_some()).count();
        let input = FilterInput::new(&tail.name, partition, &batches).with_epochs(&data.epochs).shared_by(conditions);
        // The feeds with the lowest cost per stream come first. Each cost is read once, because the thread of another leader
        // may change it during the sort, and `sort_by_key` may panic if keys change.
        feeds.sort_by_cached_key(|feed| feed.cost());
        // Plain feeds need no time limit: a topic has at most two of them for each format. Other feeds differ by topics
        // and partitions, and clients can create too many of these, so at most one of them has no time limit, and only
        // if no plain feed has a stream.
        let (mut free, mut budgeted): (Vec<_>, Vec<_>) = feeds.into_iter().partition(|feed| feed.is_plain());
        if free.iter().all(|feed| feed.is_empty())
            && let Some(first) = budgeted.iter().position(|feed| feed.may_be_free())
        {
            free.push(budgeted.remove(first));
        }
        let free = free.iter().map(|feed| (feed, DeliveryBudget::Free));
        let budgeted = budgeted.iter().map(|feed| (feed, DeliveryBudget::Budgeted));
        let delivered: u64 =
            (free.chain(budgeted)).map(|(feed, delivery)| feed.deliver(&input, (from, next), (delivery, budget))).sum();
        // A batch may begin before the offset of the fetch.
        let first = input.records().find(|record| record.offset >= from);
        let age =
            first.map(|first| Duration::from_millis(u64::try_from(now().saturating_sub(first.timestamp)).unwrap_or(0)));
        if let Some(age) = age.filter(|age| delivered > 0 && *age <= OLD) {
            self.counts.delivery_latency.observe(age);
        }
    }

    /// Continues after records that the log has lost, and reports the gap to the streams of the topic.
    pub fn jump(&self, tail: &Tail, position: &FetchPosition, loss: Loss) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            match state.partition(position.partition) {
                Some(current) if current.is_at(position) => current.jump(loss.to.next, loss.to.epoch),
                _ => return,
            }
            state.feeds.clone()
        };
        feeds.iter().for_each(|feed| feed.gap(&tail.name, position.partition, loss));
    }

    /// Changes the leader epoch that the next fetch of a partition sends for the record before its offset.
    pub fn set_last_epoch(&self, tail: &Tail, position: &FetchPosition, epoch: Epoch) {
        if let Some(current) = tail.state().partition(position.partition).filter(|current| current.is_at(position)) {
            current.epoch = epoch;
        }
    }

    /// Continues at the beginning of a topic that was recreated, and reports the gap to its streams.
    pub fn recreate(&self, tail: &Tail, found: &TopicInfo) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            state.id = found.id;
            state.partitions = from_beginning(found, 0).collect();
            state.feeds.clone()
        };
        let (id, partitions) = (IdTag::of(found.id), found.partitions.len());
        feeds.iter().for_each(|feed| feed.recreated(&tail.name, id, partitions));
    }

    /// Adds the new partitions of a topic, each at offset 0.
    pub fn grow(&self, tail: &Tail, found: &TopicInfo) {
        let _in_order = lock(&tail.dispatch);
        let feeds = {
            let mut state = tail.state();
            let known = state.partitions.len();
            state.id = found.id;
            state.partitions.extend(from_beginning(found, known));
            state.feeds.clone()
        };
        let (id, partitions) = (IdTag::of(found.id), found.partitions.len());
        feeds.iter().for_each(|feed| feed.grow(&tail.name, id, partitions));
    }

    /// Ends every stream of the topic with an error.
    pub fn fail(&self, tail: &Tail, error: &BrokerError) {
        let feeds = {
            let mut registry = lock(&self.registry);
            let feeds = std::mem::take(&mut tail.state().feeds);
            registry.feeds.retain(|_, feed| !feeds.iter().any(|failed| Arc::ptr_eq(failed, feed)));
            if registry.tails.get(&tail.name).is_some_and(|own| std::ptr::eq(&**own, tail)) {
                registry.tails.remove(&tail.name);
            }
            feeds
        };
        feeds.iter().for_each(|feed| feed.fail(error));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
