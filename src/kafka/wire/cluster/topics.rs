//! Topic metadata, combined from the responses of several brokers.
//!
//! A broker that lags behind, or is cut off from the controllers, may not know every topic, and nothing in its response
//! says so. A topic is therefore missing only if two brokers say so, and stays known until then. A new topic is
//! confirmed by a second broker as well, because there is no cached response to compare the first one with.

use super::identity::{AnswerSource, IdentityVerdict};
use super::rotation::{AddressKind, BrokerTurn, MetadataReply};
use super::{ClusterClient, View};
use crate::broker::{AutoCreate, BrokerError, Remedy, Replica, Staleness, TopicInfo};
use crate::kafka::wire::metadata;
use crate::record::{TopicName, TopicPartition};
use kafka_protocol::messages::MetadataResponse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// The number of brokers that must report a topic as missing, or all brokers if there are fewer.
const QUORUM: usize = 2;

/// The maximum number of brokers asked about a doubtful topic: one behind a shared address, and two more.
const MAX_QUERIED: usize = 3;

/// Whether a result needs confirmation by another broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Certain,
    Doubtful,
}

/// A topic that is looked up until brokers agree.
pub(super) struct TopicLookup<'a> {
    name: &'a TopicName,
    pub(super) result: Result<TopicInfo, BrokerError>,
    pub(super) certainty: Certainty,
    /// The number of brokers that do not know the topic.
    unknown_to: usize,
}

impl<'a> TopicLookup<'a> {
    /// Starts a lookup of `name`.
    pub(super) fn new(name: &'a TopicName) -> Self {
        let result = Err(Staleness::NotLookedUp(name.clone()).into());
        Self { name, result, certainty: Certainty::Doubtful, unknown_to: 0 }
    }

    fn is_doubtful(&self) -> bool {
        self.certainty == Certainty::Doubtful
    }

    fn into_result(self) -> Result<TopicInfo, BrokerError> {
        match (self.certainty, self.result) {
            (Certainty::Doubtful, Err(BrokerError::UnknownTopic(name))) => Err(Staleness::Unconfirmed(name).into()),
            (_, result) => result,
        }
    }
}

impl ClusterClient {
    /// Fetches all topics except internal ones, sorted by name. If the response contradicts the cache, other brokers
    /// are asked.
    pub fn list_topics(&self) -> Result<Vec<TopicInfo>, BrokerError> {
        let MetadataReply { response, address, .. } =
            self.request_metadata(&metadata::all_topics_request(), BrokerTurn::Last)?;
        if response.brokers.is_empty() && response.topics.is_empty() {
            return Err(Staleness::ClusterUnknownTo(address).into());
        }
        let mut listed = metadata::listed_topics(&response);
        let doubtful = doubtful(&self.view(), &response, &mut listed);
        if doubtful.is_empty() {
            return Ok(listed);
        }
        let mut topics: BTreeMap<TopicName, TopicInfo> = listed.into_iter().map(|i| (i.name.clone(), i)).collect();
        let found = match self.topics(&doubtful, AutoCreate::Never) {
            Ok(found) => found,
            Err(error) => vec![Err(error); doubtful.len()],
        };
        for (name, found) in doubtful.into_iter().zip(found) {
            let present = match found {
                Ok(info) => Some(info),
                Err(error) if error.remedy() == Remedy::GiveUp => None,
                Err(_) => self.cached(&name).map(|before| TopicInfo::clone(&before)),
            };
            match present {
                Some(info) => topics.insert(name, info),
                None => topics.remove(&name),
            };
        }
        Ok(topics.into_values().collect())
    }

    /// Fetches `topics` from brokers, with one result for each, in order. The results are cached for
    /// [`cached`](Self::cached).
    pub fn topics(
        &self,
        topics: &[TopicName],
        auto_create: AutoCreate,
    ) -> Result<Vec<Result<TopicInfo, BrokerError>>, BrokerError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut lookups: Vec<_> = topics.iter().map(TopicLookup::new).collect();
        let reply = self.request_metadata(&metadata::topics_request(topics, auto_create), BrokerTurn::Next)?;
        self.apply_reply(&mut lookups, &reply);
        let mut responded = vec![reply.address];
        while responded.len() < MAX_QUERIED {
            let doubtful: Vec<_> = lookups.iter().filter(|l| l.is_doubtful()).map(|l| l.name.clone()).collect();
            if doubtful.is_empty() {
                break;
            }
            let Ok(reply) =
                self.request_metadata(&metadata::topics_request(&doubtful, auto_create), BrokerTurn::Other(&responded))
            else {
                break;
            };
            self.apply_reply(&mut lookups, &reply);
            responded.push(reply.address);
        }
        Ok(lookups.into_iter().map(TopicLookup::into_result).collect())
    }

    /// Fetches the replicas of each partition of a topic, in the order of the partitions.
    pub fn replicas(&self, topic: &TopicName) -> Result<Vec<Vec<Replica>>, BrokerError> {
        let request = metadata::topics_request(std::slice::from_ref(topic), AutoCreate::Never);
        let reply = self.request_metadata(&request, BrokerTurn::Last)?;
        metadata::replicas(&reply.response, topic).map_err(|error| self.with_principal(error))
    }

    /// Fetches the metadata of a topic.
    pub fn refresh(&self, topic: &TopicName, auto_create: AutoCreate) -> Result<Arc<TopicInfo>, BrokerError> {
        let mut found = self.topics(std::slice::from_ref(topic), auto_create)?;
        found.pop().unwrap_or_else(|| Err(BrokerError::UnknownTopic(topic.clone()))).map(Arc::new)
    }

    /// Merges a response about the topics in doubt with those of other brokers, and caches the result.
    pub(super) fn apply_reply(&self, lookups: &mut [TopicLookup<'_>], reply: &MetadataReply) {
        let MetadataReply { response, address, number } = reply;
        let (now, kind) = (Instant::now(), reply.address_kind());
        let agreed = reply.brokers().len().min(QUORUM);
        let doubtful: Vec<_> = lookups.iter_mut().filter(|lookup| lookup.is_doubtful()).collect();
        let names: Vec<_> = doubtful.iter().map(|lookup| lookup.name.clone()).collect();
        let found = metadata::found_topics(response, &names);
        let mut view = self.view();
        let View { topics, identities, outdated, .. } = &mut *view;
        let mut newer = None;
        for (lookup, found) in doubtful.into_iter().zip(found) {
            let name = lookup.name;
            lookup.certainty = Certainty::Certain;
            lookup.result = match found {
                Ok(mut info) => {
                    identities.make_room(topics);
                    let before = topics.get(name);
                    let source = AnswerSource { address, kind, number: *number, at: now };
                    let judge = |id| identities.judge(name, id, before.and_then(|before| before.id), source);
                    match info.id.map_or(IdentityVerdict::Present, judge) {
                        IdentityVerdict::Present => {
                            let outdated = before.and_then(|before| metadata::keep_newer_leaders(&mut info, before));
                            newer = newer.or(outdated);
                            if before.is_none() && agreed > 1 {
                                lookup.certainty = Certainty::Doubtful;
                            }
                            topics.insert(name.clone(), Arc::new(info.clone()));
                            Ok(info)
                        }
                        verdict => {
                            newer = newer.or(Some(TopicPartition { topic: name.clone(), partition: 0 }));
                            if verdict == IdentityVerdict::Doubtful {
                                lookup.certainty = Certainty::Doubtful;
                            }
                            let former = || Staleness::FormerTopic { address: address.clone(), topic: name.clone() };
                            before.map(|before| TopicInfo::clone(before)).ok_or_else(|| former().into())
                        }
                    }
                }
                // Another broker has returned the topic.
                Err(_) if lookup.result.is_ok() => continue,
                // A broker that has just started knows nothing of the cluster and its topics (before KRaft).
                Err(BrokerError::UnknownTopic(_)) if response.brokers.is_empty() => {
                    lookup.certainty = Certainty::Doubtful;
                    Err(Staleness::ClusterUnknownTo(address.clone()).into())
                }
                Err(missing @ BrokerError::UnknownTopic(_)) => {
                    lookup.unknown_to += usize::from(kind == AddressKind::OneBroker);
                    if lookup.unknown_to < agreed {
                        lookup.certainty = Certainty::Doubtful;
                    } else {
                        topics.remove(name);
                    }
                    Err(missing)
                }
                Err(error) => {
                    if error.remedy() == Remedy::GiveUp {
                        topics.remove(name);
                    }
                    Err(self.with_principal(error))
                }
            };
        }
        outdated.note(address, &names, newer, now);
    }
}

/// Returns the topics for which a list of all topics contradicts the cache: they are absent, have another id, or were
/// deleted. Replaces leaders in `listed` that are older than the cached ones.
fn doubtful(view: &View, response: &MetadataResponse, listed: &mut [TopicInfo]) -> Vec<TopicName> {
    let listed_names: HashSet<&str> =
        response.topics.iter().filter_map(|topic| Some(topic.name.as_ref()?.as_str())).collect();
    let mut doubtful: Vec<_> =
        view.topics.keys().filter(|name| !listed_names.contains(name.as_str())).cloned().collect();
    for info in listed {
        match view.topics.get(&info.name) {
            Some(before) if before.id == info.id => drop(metadata::keep_newer_leaders(info, before)),
            Some(_) => doubtful.push(info.name.clone()),
            None if view.identities.remembers(&info.name) => doubtful.push(info.name.clone()),
            None => {}
        }
    }
    doubtful
}

#[cfg(test)]
mod tests;
