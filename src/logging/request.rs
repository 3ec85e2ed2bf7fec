//! The id of the request that the current task or thread serves.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Identifies one request in responses, logs and record headers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Maximum length of a client's id, in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses a request id sent by a client: 1 to 128 characters of `A-Z a-z 0-9 . _ ~ : = + / @ -`, which need no
    /// escaping in headers and logs.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._~:=+/@-".contains(&b);
        let is_valid = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(fits);
        is_valid.then(|| Self(text.into()))
    }

    /// Generates an id: 64 random bits in hexadecimal.
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

/// Adds the request id to every line that `work` logs, on every thread that polls it.
pub fn while_serving<F: Future>(id: RequestId, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(id, work)
}

/// Adds the request id, if any, to every line that `work` logs on this thread.
pub fn while_working<T>(id: Option<RequestId>, work: impl FnOnce() -> T) -> T {
    match id {
        Some(id) => REQUEST.sync_scope(id, work),
        None => work(),
    }
}

/// Returns the id of the request that the current task or thread serves.
pub fn current() -> Option<RequestId> {
    REQUEST.try_with(RequestId::clone).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_accepted_unchanged_or_rejected() {
        for good in ["a", "0af7651916cd43dd8448eb211c80319c", "id/1:2=3+4@5_6~7-8.9", &"x".repeat(128)] {
            assert_eq!(RequestId::parse(good).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a\nb", "ä", "a\"b", "a,b", "{}", &"x".repeat(129)] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
        let generated = RequestId::new();
        assert_eq!(RequestId::parse(&generated), Some(generated.clone()));
        assert_ne!(generated, RequestId::new());
    }

    #[tokio::test]
    async fn a_request_id_is_known_only_while_its_request_is_served() {
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
