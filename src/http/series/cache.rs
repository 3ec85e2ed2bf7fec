//! Updates that were encoded a moment ago: all viewers of a series get the same bytes.

use super::{EncodedSeries, Since};
use crate::hub::series::SeriesHandle;
use crate::series::Window;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The most updates that are kept, and the most bytes of one.
const MOST: usize = 64;
const LARGEST: usize = 64 << 10;
/// How long an update is kept.
const KEPT: Duration = Duration::from_secs(2);

/// The updates that were encoded last.
#[derive(Default)]
pub struct UpdateCache {
    updates: Mutex<VecDeque<CachedUpdate>>,
    /// Held while an update is encoded, so that viewers who ask at the same time wait for it.
    pub encoding: tokio::sync::Mutex<()>,
}

struct CachedUpdate {
    of: UpdateKey,
    at: Instant,
    encoded: EncodedSeries,
}

#[derive(PartialEq)]
struct UpdateKey {
    handle: (usize, u32, u32, i64, i64),
    window: Window,
    since: Since,
}

impl UpdateCache {
    /// Returns the update from `since` to the present version.
    pub fn get(&self, handle: &SeriesHandle, window: Window, since: Since) -> Option<EncodedSeries> {
        let key = UpdateKey { handle: handle.identity()?, window, since };
        let mut updates = lock(&self.updates);
        updates.retain(|update| update.at.elapsed() < KEPT);
        updates.iter().find(|update| update.of == key).map(|update| update.encoded.clone())
    }

    /// Keeps an update, unless the computation has changed since it was encoded, or it is large.
    pub fn put(&self, handle: &SeriesHandle, window: Window, since: Since, encoded: &EncodedSeries) {
        let Some(identity) = handle.identity() else { return };
        if (identity.1, identity.2) != (encoded.generation, encoded.version) || encoded.body.len() > LARGEST {
            return;
        }
        let mut updates = lock(&self.updates);
        if updates.len() == MOST {
            updates.pop_front();
        }
        let of = UpdateKey { handle: identity, window, since };
        updates.push_back(CachedUpdate { of, at: Instant::now(), encoded: encoded.clone() });
    }
}
