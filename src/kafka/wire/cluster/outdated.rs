//! Brokers whose metadata is older than what another one has told. For a moment that is how an election looks; for
//! longer it is a broker that is cut off from the controllers, which its log shows and ours should.

use crate::record::TopicPartition;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than a broker takes to learn of an election.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct Outdated(HashMap<Arc<str>, Since>);

struct Since {
    first: Instant,
    logged: Logged,
}

#[derive(PartialEq, Eq)]
enum Logged {
    Not,
    Yes,
}

impl Outdated {
    /// Notes an answer of the broker at `address`, with the first partition for which another broker has told a newer
    /// leader epoch. Says it once per broker and outage.
    pub fn note(&mut self, address: &Arc<str>, newer: Option<TopicPartition>, now: Instant) {
        let Some(place) = newer else {
            if self.0.remove(address).is_some_and(|since| since.logged == Logged::Yes) {
                log::info!("{address} knows the present leaders again");
            }
            return;
        };
        let since = self.0.entry(address.clone()).or_insert(Since { first: now, logged: Logged::Not });
        if since.logged == Logged::Not && now.saturating_duration_since(since.first) >= PATIENCE {
            since.logged = Logged::Yes;
            log::warn!(
                "{address} names an outdated leader of {place}; it may be cut off from the controllers, and the other brokers' \
                 metadata is used"
            );
        }
    }

    /// Forgets brokers that are not part of the cluster any more.
    pub fn retain(&mut self, is_known: impl Fn(&Arc<str>) -> bool) {
        self.0.retain(|address, _| is_known(address));
    }
}
