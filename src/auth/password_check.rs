//! Password checks. Each occupies a core for tens of milliseconds, so they wait in a queue and run one at a time.

use super::password::Password;
use super::permit::Permit;
use super::table::{AuthError, AuthTable};
use crate::record::now;
use crate::secret::Secret;
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

impl PasswordCheck {
    /// Waits for its turn and checks the password on a blocking thread.
    pub async fn run(self) -> Result<Permit, AuthError> {
        let Self { queue, table, name, secret, password } = self;
        let slot = tokio::time::timeout(MAX_WAIT, queue.0.acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(AuthError::Unavailable("too many passwords are being checked")) };
        let check = tokio::task::spawn_blocking(move || {
            // An earlier check in the queue may have verified the same password.
            let is_right = table.is_verified(&name, &secret) || password.verify(&secret);
            drop(slot);
            if is_right {
                table.accept_password(&name, &secret, now()).map(Permit::from_grant)
            } else {
                Err(AuthError::Unknown)
            }
        });
        check.await.unwrap_or(Err(AuthError::Unknown))
    }
}
