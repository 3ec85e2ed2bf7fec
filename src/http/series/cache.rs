//! Caches recently encoded updates, so that all viewers of a series get the same bytes.

use super::{EncodedSeries, Since};
use crate::hub::series::SeriesHandle;
use crate::series::Window;
use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Maximum number of cached updates, and maximum size of an update in bytes.
const MOST: usize = 64;
const LARGEST: usize = 64 << 10;
/// How long an update is cached.
const KEPT: Duration = Duration::from_secs(2);

/// The most recently encoded updates.
#[derive(Default)]
pub struct UpdateCache {
    updates: Mutex<VecDeque<CachedUpdate>>,
    /// Locked while an update is encoded, so that other viewers wait for it instead of encoding it again. By the address
    /// of the computation, so that a large update seldom delays those of other series.
    encoding: [tokio::sync::Mutex<()>; 32],
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
    /// Waits until no other update of the computation is being encoded.
    pub async fn encode_alone(&self, handle: &SeriesHandle) -> tokio::sync::MutexGuard<'_, ()> {
        // Allocations of this size are aligned, so the lowest bits are the same for all.
        self.encoding[(handle.address() >> 8) % self.encoding.len()].lock().await
    }

    /// Returns the cached update from `since` to the current version.
    pub fn get(&self, handle: &SeriesHandle, window: Window, since: Since) -> Option<EncodedSeries> {
        let key = UpdateKey { handle: handle.identity()?, window, since };
        let mut updates = lock(&self.updates);
        updates.retain(|update| update.at.elapsed() < KEPT);
        updates.iter().find(|update| update.of == key).map(|update| update.encoded.clone())
    }

    /// Caches an update, unless it is large or the computation has changed since it was encoded.
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
