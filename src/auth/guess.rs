//! A password that somebody shows. To try one takes a core for tens of milliseconds, so they are tried in turn.

use super::password::Password;
use super::permit::Permit;
use super::secret::Secret;
use super::table::{Refused, Table};
use crate::record::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Passwords that are tried at a time.
const TRIES: usize = 1;
/// How long a try may wait for its turn.
const TURN: Duration = Duration::from_secs(5);

/// To be tried with [`Guess::permit`], once it is clear that who shows it may try.
pub struct Guess {
    pub(super) turns: Turns,
    pub(super) table: Arc<Table>,
    pub(super) name: String,
    pub(super) secret: Secret,
    pub(super) password: Password,
}

/// All who guess share these.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TRIES)))
    }
}

impl Guess {
    pub async fn permit(self) -> Result<Permit, Refused> {
        let Self { turns, table, name, secret, password } = self;
        let turn = tokio::time::timeout(TURN, turns.0.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refused::Busy("too many passwords are being tried")) };
        let tried = tokio::task::spawn_blocking(move || {
            // Somebody before may have shown the same.
            let is_right = table.remembers(&name, &secret) || password.is(&secret);
            drop(turn);
            if is_right { table.tried(&name, &secret, now()).map(Permit::of) } else { Err(Refused::Wrong) }
        });
        tried.await.unwrap_or(Err(Refused::Wrong))
    }
}
