//! Password checks. Each occupies a core for tens of milliseconds, so they wait in a queue and run one at a time.

use super::password::Password;
use super::permit::Permit;
use super::secret::HiddenText;
use super::table::{AuthError, AuthTable};
use crate::record::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Checks that run at the same time.
const TRIES: usize = 1;
/// The longest wait in the queue.
const TURN: Duration = Duration::from_secs(5);

/// A password that has yet to be checked with [`PasswordCheck::permit`]. Callers apply their rate limit first.
pub struct PasswordCheck {
    pub(super) turns: CheckQueue,
    pub(super) table: Arc<AuthTable>,
    pub(super) name: String,
    pub(super) secret: HiddenText,
    pub(super) password: Password,
}

/// Limits the checks of the whole process.
#[derive(Clone)]
pub struct CheckQueue(Arc<Semaphore>);

impl Default for CheckQueue {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRIES)))
    }
}

impl PasswordCheck {
    /// Waits for its turn and checks the password on a blocking thread.
    pub async fn permit(self) -> Result<Permit, AuthError> {
        let Self { turns, table, name, secret, password } = self;
        let turn = tokio::time::timeout(TURN, turns.0.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(AuthError::Busy("too many passwords are being checked")) };
        let tried = tokio::task::spawn_blocking(move || {
            // An earlier check in the queue may have verified the same password.
            let is_right = table.remembers(&name, &secret) || password.is(&secret);
            drop(turn);
            if is_right { table.tried(&name, &secret, now()).map(Permit::of) } else { Err(AuthError::Wrong) }
        });
        tried.await.unwrap_or(Err(AuthError::Wrong))
    }
}
