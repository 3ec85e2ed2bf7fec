//! A password that somebody shows. To try one takes a core for tens of milliseconds, so they are tried in turn.

use super::password::Password;
use super::permit::Permit;
use super::secret::HiddenText;
use super::table::{AuthError, AuthTable};
use crate::record::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Passwords that are tried at a time.
const TRIES: usize = 1;
/// How long a try may wait for its turn.
const TURN: Duration = Duration::from_secs(5);

/// To be tried with [`Guess::permit`], once it is clear that who shows it may try.
pub struct PasswordCheck {
    pub(super) turns: CheckQueue,
    pub(super) table: Arc<AuthTable>,
    pub(super) name: String,
    pub(super) secret: HiddenText,
    pub(super) password: Password,
}

/// All who guess share these.
#[derive(Clone)]
pub struct CheckQueue(Arc<Semaphore>);

impl Default for CheckQueue {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRIES)))
    }
}

impl PasswordCheck {
    pub async fn permit(self) -> Result<Permit, AuthError> {
        let Self { turns, table, name, secret, password } = self;
        let turn = tokio::time::timeout(TURN, turns.0.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(AuthError::Busy("too many passwords are being tried")) };
        let tried = tokio::task::spawn_blocking(move || {
            // Somebody before may have shown the same.
            let is_right = table.remembers(&name, &secret) || password.is(&secret);
            drop(turn);
            if is_right { table.tried(&name, &secret, now()).map(Permit::of) } else { Err(AuthError::Wrong) }
        });
        tried.await.unwrap_or(Err(AuthError::Wrong))
    }
}
