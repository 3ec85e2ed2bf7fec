//! Authenticates credentials against the current auth file, and revokes permits when the file changes.

use super::credential::Credential;
use super::loader::AuthLoader;
use super::password_check::{CheckQueue, PasswordCheck};
use super::permit::{Denied, Grant, Permit};
use super::rights::Right;
use super::table::{AuthError, AuthTable, Decision, GrantEnd, TicketUse};
use crate::record::{Timestamp, TopicName, now};
use log::{error, info};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest sleep before an expiry is compared with the clock again, because the clock can jump and a laptop can
/// suspend.
const LOOK: Duration = Duration::from_secs(60);

/// A handle to the current [`AuthTable`]. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Option<Arc<Inner>>);

struct Inner {
    table: watch::Sender<Arc<AuthTable>>,
    reading: AuthLoader,
    turns: CheckQueue,
}

/// The result of authenticating a request.
pub enum AuthOutcome {
    Permitted(Permit),
    /// The password is checked separately, so that the caller can apply its rate limit first.
    Guessed(PasswordCheck),
}

/// Why a stream or an upload that was permitted has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    Ended(GrantEnd),
    Denied(Denied),
}

impl Authenticator {
    /// Permits every request, without credentials.
    pub fn off() -> Self {
        Self(None)
    }

    /// Reads the auth file and the files it names. An error is one line for the operator.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let reading = AuthLoader::new(path)?;
        let table = watch::Sender::new(Arc::new(reading.table()?));
        Ok(Self(Some(Arc::new(Inner { table, reading, turns: CheckQueue::default() }))))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Reloads the files. If they are invalid, logs the error and keeps the previous table.
    pub fn reload(&self) {
        let Some(door) = &self.0 else { return };
        match door.reading.table() {
            Ok(table) if table.says_the_same_as(&door.table.borrow()) => {}
            Ok(table) => {
                door.table.send_replace(Arc::new(table));
                info!("reloaded the auth file");
            }
            Err(why) => error!("rejected the new auth file, keeping the previous one: {why}"),
        }
        let table = door.table.borrow().clone();
        door.reading.keep_for(&table);
    }

    /// Whether the auth file, or a file that it names, has changed since it was read.
    pub fn has_changed(&self) -> bool {
        self.0.as_ref().is_some_and(|door| door.reading.is_stale())
    }

    /// Authenticates a credential. `None` is [`AuthError::Missing`], unless authentication is off.
    ///
    /// Waits for the key set of a token's issuer when the token names a key that has not been fetched yet.
    pub async fn answer(&self, credential: Option<&Credential>, arrival: TicketUse) -> Result<AuthOutcome, AuthError> {
        let Some(door) = &self.0 else { return Ok(AuthOutcome::Permitted(Permit::everything())) };
        let credential = credential.ok_or(AuthError::Missing)?;
        let table = door.table.borrow().clone();
        let mut answer = table.answer(credential, arrival, now());
        if let Decision::Fetch(remotes) = &answer {
            for remote in remotes {
                remote.refresh().await;
            }
            answer = table.answer(credential, arrival, now());
        }
        match answer {
            Decision::Granted(grant) => Ok(AuthOutcome::Permitted(Permit::of(grant))),
            Decision::Refused(refused) => Err(refused),
            Decision::Fetch(remotes) => Err(match remotes.iter().any(|remote| remote.keys().is_none()) {
                true => AuthError::Busy("the keys that verify tokens are not available at the moment"),
                false => AuthError::Wrong,
            }),
            Decision::Try { name, secret, password } => {
                let (turns, name, secret) = (door.turns.clone(), name.to_owned(), secret.clone());
                Ok(AuthOutcome::Guessed(PasswordCheck { turns, table: table.clone(), name, secret, password }))
            }
        }
    }

    /// Returns a signed session for a cookie and its expiry in ms since the epoch, or `None` if authentication is off.
    pub fn session(&self, permit: &Permit) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().session(grant, now()).map(Some)
    }

    /// Returns a signed ticket for a URL and its expiry in ms since the epoch, or `None` if authentication is off.
    pub fn ticket(&self, permit: &Permit, topics: Vec<TopicName>) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().ticket(grant, topics, now()).map(Some)
    }

    /// Returns a future that completes when `permit` no longer allows `right` for all of `topics`. It may never
    /// complete. Returns `None` for a permit that cannot be revoked.
    pub fn over(
        &self,
        permit: &Permit,
        right: Right,
        topics: Vec<TopicName>,
    ) -> Option<impl Future<Output = Revocation> + Send + Sync + use<>> {
        let (door, grant) = (self.0.as_ref()?, permit.shared()?);
        let (tables, changes) = (door.table.subscribe(), door.reading.changes());
        Some(over(tables, changes, grant, right, topics))
    }
}

/// `changes` reports changes of the key sets that verify tokens.
async fn over(
    mut tables: watch::Receiver<Arc<AuthTable>>,
    mut changes: watch::Receiver<()>,
    grant: Arc<Grant>,
    right: Right,
    topics: Vec<TopicName>,
) -> Revocation {
    loop {
        changes.mark_unchanged();
        let table = tables.borrow_and_update().clone();
        let until = match table.until(&grant.held, now()) {
            Ok(until) => until,
            Err(ended) => return Revocation::Ended(ended),
        };
        if let Err(denied) = table.still_allows(&grant, right, &topics) {
            return Revocation::Denied(denied);
        }
        drop(table);
        let left = until.map(|until| u64::try_from(until.saturating_sub(now())).unwrap_or(0));
        let pause = left.map_or(LOOK, |left| Duration::from_millis(left).min(LOOK));
        let changed = tokio::select! {
            changed = tables.changed() => changed,
            changed = changes.changed() => changed,
            () = tokio::time::sleep(pause) => Ok(()),
        };
        if changed.is_err() {
            // The authenticator is gone: nothing can revoke the permit any more.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authenticator").field(&self.0.as_ref().map(|door| door.reading.path())).finish()
    }
}
