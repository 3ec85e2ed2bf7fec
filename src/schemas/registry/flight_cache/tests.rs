#![allow(clippy::unwrap_used)]
use super::*;
use crate::sync::memory_budget::Share;
use std::sync::atomic::{AtomicUsize, Ordering};

const FOREVER: Lifetime = Lifetime { fresh: None, stale: Duration::ZERO };
const EXPIRED: Lifetime = Lifetime { fresh: Some(Duration::ZERO), stale: Duration::ZERO };
const STALE: Lifetime = Lifetime { fresh: Some(Duration::ZERO), stale: Duration::from_secs(60) };

fn cache(entries: usize, bytes: usize) -> Arc<FlightCache<u32, u32>> {
    let memory = Share::new("test", bytes, bytes).empty_reservation();
    Arc::new(FlightCache::new(CacheLimits { entries, bytes }, memory))
}

fn found(value: u32, bytes: usize, lifetime: Lifetime) -> FetchOutcome<u32> {
    FetchOutcome { result: Ok(value), bytes, lifetime }
}

fn failed(lifetime: Lifetime) -> FetchOutcome<u32> {
    FetchOutcome { result: Err(Arc::new(RegistryError::NotFound("it".to_owned()))), bytes: 1, lifetime }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn is_known(cache: &Arc<FlightCache<u32, u32>>, key: u32) -> bool {
    matches!(cache.claim(&key), Claim::Known(Ok(_)))
}

#[test]
fn the_least_recently_used_results_are_evicted() {
    let by_number = cache(2, 1000);
    for key in [1, 2] {
        by_number.insert(&key, found(key, 1, FOREVER));
    }
    assert!(is_known(&by_number, 1));
    by_number.insert(&3, found(3, 1, FOREVER));
    assert_eq!([1, 2, 3].map(|key| is_known(&by_number, key)), [true, false, true]);
    let by_bytes = cache(100, 10);
    for (key, bytes) in [(1, 4), (2, 4), (3, 5), (4, 10)] {
        by_bytes.insert(&key, found(key, bytes, FOREVER));
        assert!(is_known(&by_bytes, key), "the newest result stays");
    }
    assert_eq!(by_bytes.size(), (1, 10));
    by_bytes.insert(&5, found(5, 11, FOREVER));
    assert_eq!(by_bytes.size(), (0, 0), "a result beyond the limit is not kept");
}

#[test]
fn many_callers_share_one_fetch() {
    let (cache, fetches) = (cache(10, 1000), AtomicUsize::new(0));
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let fetch = |key: &u32| {
                    fetches.fetch_add(1, Ordering::Relaxed);
                    found(*key * 2, 1, FOREVER)
                };
                assert_eq!(cache.get(&21, soon(), fetch).unwrap(), 42);
            });
        }
    });
    assert_eq!(fetches.into_inner(), 1);
}

#[test]
fn a_ticket_that_is_dropped_leaves_the_fetch_to_the_next_caller() {
    let cache = cache(10, 1000);
    let Claim::Mine(ticket, None) = cache.claim(&1) else { panic!("the first caller fetches") };
    assert!(matches!(cache.claim(&1), Claim::InFlight));
    assert!(cache.get(&1, Instant::now(), |_| unreachable!()).is_err(), "a caller waits until its deadline");
    drop(ticket);
    assert_eq!(cache.get(&1, soon(), |_| found(7, 1, FOREVER)).unwrap(), 7);
}

#[test]
fn an_expired_result_is_fetched_again_and_a_stale_one_used_meanwhile() {
    let cache = cache(10, 1000);
    cache.insert(&1, failed(EXPIRED));
    assert!(matches!(cache.claim(&1), Claim::Mine(_, None)));
    cache.insert(&1, failed(STALE));
    let Claim::Mine(ticket, Some(Err(_))) = cache.claim(&1) else { panic!("the caller fetches it again") };
    assert!(matches!(cache.claim(&1), Claim::Known(Err(_))), "others use the stale result");
    ticket.finish(found(7, 1, FOREVER));
    assert!(is_known(&cache, 1));
    assert_eq!(cache.size(), (1, 1));
}
