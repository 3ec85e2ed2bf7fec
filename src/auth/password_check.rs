//! Password checks. Each occupies a core for tens of milliseconds, so they wait in a queue and run one at a time.

use super::password::Password;
use super::permit::Permit;
use super::table::{AuthError, AuthTable};
use crate::record::now;
use crate::secret::Secret;
use crate::sync::watchdog;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Maximum number of concurrent checks.
const MAX_CONCURRENT: usize = 1;
/// The longest wait in the queue.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A pending password check, which [`run`](Self::run) performs. Callers apply their rate limit first.
pub struct PasswordCheck {
    pub(super) queue: CheckQueue,
    pub(super) table: Arc<AuthTable>,
    pub(super) name: String,
    pub(super) secret: Secret,
    pub(super) password: Password,
}

/// Limits the checks of the process.
#[derive(Clone)]
pub struct CheckQueue(Arc<Semaphore>);

impl Default for CheckQueue {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONCURRENT)))
    }
}

impl CheckQueue {
    /// Waits for its turn, and runs `check` on a blocking thread.
    async fn run<T: Send + 'static>(
        self,
        check: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let slot = tokio::time::timeout(MAX_WAIT, self.0.acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(AuthError::Unavailable("too many passwords are being checked")) };
        let checked = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            watchdog::caught_in_poll(check)
        });
        // A panic says nothing about the credential.
        checked.await.ok().flatten().unwrap_or(Err(AuthError::Failed))
    }
}

impl PasswordCheck {
    /// Waits for its turn and checks the password on a blocking thread.
    pub async fn run(self) -> Result<Permit, AuthError> {
        let Self { queue, table, name, secret, password } = self;
        let check = move || {
            // An earlier check in the queue may have verified the same password.
            if table.is_verified(&name, &secret) || password.verify(&secret) {
                table.accept_password(&name, &secret, now()).map(Permit::from_grant)
            } else {
                Err(AuthError::Unknown)
            }
        };
        queue.run(check).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_check_does_not_count_as_a_wrong_password() {
        let queue = CheckQueue::default();
        assert_eq!(queue.clone().run::<()>(|| panic!("a bug")).await, Err(AuthError::Failed));
        assert_eq!(queue.run(|| Ok(1)).await, Ok(1), "the slot is free again");
    }
}
