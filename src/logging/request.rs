//! Which request the code that runs just now serves.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Names one request in answers, logs and records. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub const MAX_LEN: usize = 128;

    /// As a client gives it: 1 to 128 of `A-Z a-z 0-9 . _ ~ : = + / @ -`, so that it can stand anywhere as it is.
    pub fn taken(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._~:=+/@-".contains(&b);
        let is_good = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(fits);
        is_good.then(|| Self(text.into()))
    }

    /// One that nobody else is likely to have: 64 random bits in hexadecimal.
    pub fn new() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)).into())
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static REQUEST: RequestId;
}

/// All that `work` logs, on whichever thread it goes on, names the request.
pub fn while_serving<F: Future>(id: RequestId, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id, work)
}

/// All that `work` logs on this thread names the request, where there is one.
pub fn while_working<T>(id: Option<RequestId>, work: impl FnOnce() -> T) -> T {
    match id {
        Some(id) => REQUEST.sync_scope(id, work),
        None => work(),
    }
}

/// The request that is served here.
pub fn current() -> Option<RequestId> {
    REQUEST.try_with(RequestId::clone).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_as_it_is_or_not_at_all() {
        for good in ["a", "0af7651916cd43dd8448eb211c80319c", "id/1:2=3+4@5_6~7-8.9", &"x".repeat(128)] {
            assert_eq!(RequestId::taken(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a\nb", "ä", "a\"b", "a,b", "{}", &"x".repeat(129)] {
            assert_eq!(RequestId::taken(bad), None, "{bad}");
        }
        let made = RequestId::new();
        assert_eq!(RequestId::taken(&made), Some(made.clone()));
        assert_ne!(made, RequestId::new());
    }

    #[tokio::test]
    async fn a_request_is_known_where_it_is_served_and_nowhere_else() {
        assert_eq!(current(), None);
        let id = RequestId::new();
        let inside = while_serving(id.clone(), async {
            tokio::task::yield_now().await;
            let here = current();
            let work = move || (current(), while_working(here, current));
            tokio::task::spawn_blocking(work).await.unwrap()
        });
        assert_eq!(inside.await, (None, Some(id)));
        assert_eq!(current(), None);
    }
}
