//! Authenticates credentials against the current auth file, and revokes permits when the file changes.

use super::credential::Credential;
use super::load_error::LoadError;
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
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// A handle to the current [`AuthTable`]. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Option<Arc<AuthState>>);

struct AuthState {
    table: watch::Sender<Arc<AuthTable>>,
    loader: AuthLoader,
    check_queue: CheckQueue,
}

/// The result of authenticating a request.
pub enum AuthOutcome {
    Permitted(Permit),
    /// The password is checked separately, so that the caller can apply its rate limit first.
    CheckPassword(PasswordCheck),
}

/// The reason why a permitted stream or upload must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    Ended(GrantEnd),
    Denied(Denied),
}

impl Authenticator {
    /// Permits every request, without credentials.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Reads the auth file and the files that it names.
    pub fn from_file(path: &Path) -> Result<Self, LoadError> {
        let loader = AuthLoader::new(path)?;
        let table = watch::Sender::new(Arc::new(loader.table()?));
        Ok(Self(Some(Arc::new(AuthState { table, loader, check_queue: CheckQueue::default() }))))
    }

    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Reloads the files. If they are invalid, logs the error and keeps the previous table.
    pub fn reload(&self) {
        let Some(state) = &self.0 else { return };
        match state.loader.table() {
            Ok(table) if table.is_same_as(&state.table.borrow()) => {}
            Ok(table) => {
                state.table.send_replace(Arc::new(table));
                info!("reloaded the auth file");
            }
            Err(why) => error!("rejected the new auth file, keeping the previous one: {why}"),
        }
        let table = state.table.borrow().clone();
        state.loader.stop_unused_fetchers(&table);
    }

    /// Whether the auth file, or a file that it names, has changed since it was read.
    pub fn has_changed(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.loader.is_stale())
    }

    /// Authenticates a credential. `None` is [`AuthError::Missing`], unless authentication is off.
    ///
    /// Waits for the key set of a token's issuer when the token names a key that has not been fetched yet.
    pub async fn authenticate(
        &self,
        credential: Option<&Credential>,
        ticket_use: TicketUse,
    ) -> Result<AuthOutcome, AuthError> {
        let Some(state) = &self.0 else { return Ok(AuthOutcome::Permitted(Permit::unrestricted())) };
        let credential = credential.ok_or(AuthError::Missing)?;
        let table = state.table.borrow().clone();
        let mut decision = table.look_up(credential, ticket_use, now());
        if let Decision::FetchKeys(remotes) = &decision {
            for remote in remotes {
                remote.refresh().await;
            }
            decision = table.look_up(credential, ticket_use, now());
        }
        match decision {
            Decision::Granted(grant) => Ok(AuthOutcome::Permitted(Permit::from_grant(grant))),
            Decision::Rejected(error) => Err(error),
            Decision::FetchKeys(remotes) => Err(match remotes.iter().any(|remote| remote.keys().is_none()) {
                true => AuthError::Unavailable("the keys that verify tokens are not available at the moment"),
                false => AuthError::Unknown,
            }),
            Decision::CheckPassword { name, secret, password } => {
                let (queue, name, secret) = (state.check_queue.clone(), name.to_owned(), secret.clone());
                Ok(AuthOutcome::CheckPassword(PasswordCheck { queue, table: table.clone(), name, secret, password }))
            }
        }
    }

    /// Returns a signed session for a cookie and its expiry in ms since the epoch, or `None` if authentication is off.
    pub fn session(&self, permit: &Permit) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(state), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        state.table.borrow().session(grant, now()).map(Some)
    }

    /// Returns a signed ticket for a URL and its expiry in ms since the epoch, or `None` if authentication is off.
    pub fn ticket(&self, permit: &Permit, topics: Vec<TopicName>) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(state), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        state.table.borrow().ticket(grant, topics, now()).map(Some)
    }

    /// Returns a future that completes when `permit` no longer allows `right` for all of `topics`. It may never
    /// complete. Returns `None` for a permit that cannot be revoked.
    pub fn revocation(
        &self,
        permit: &Permit,
        right: Right,
        topics: Vec<TopicName>,
    ) -> Option<impl Future<Output = Revocation> + Send + Sync + use<>> {
        let (state, grant) = (self.0.as_ref()?, permit.shared_grant()?);
        let (tables, key_changes) = (state.table.subscribe(), state.loader.key_changes());
        Some(revoked(tables, key_changes, grant, right, topics))
    }
}

/// Resolves when `grant` no longer allows `right` for all of `topics`. `key_changes` reports changes of the key sets that
/// verify tokens.
async fn revoked(
    mut tables: watch::Receiver<Arc<AuthTable>>,
    mut key_changes: watch::Receiver<()>,
    grant: Arc<Grant>,
    right: Right,
    topics: Vec<TopicName>,
) -> Revocation {
    loop {
        key_changes.mark_unchanged();
        let table = tables.borrow_and_update().clone();
        let until = match table.expiry(&grant.origin, now()) {
            Ok(until) => until,
            Err(ended) => return Revocation::Ended(ended),
        };
        if let Err(denied) = table.still_allows(&grant, right, &topics) {
            return Revocation::Denied(denied);
        }
        drop(table);
        let remaining = until.map(|until| u64::try_from(until.saturating_sub(now())).unwrap_or(0));
        let pause =
            remaining.map_or(RECHECK_INTERVAL, |remaining| Duration::from_millis(remaining).min(RECHECK_INTERVAL));
        let changed = tokio::select! {
            changed = tables.changed() => changed,
            changed = key_changes.changed() => changed,
            () = tokio::time::sleep(pause) => Ok(()),
        };
        if changed.is_err() {
            // The authenticator was dropped, so nothing can revoke the permit any more.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authenticator").field(&self.0.as_ref().map(|state| state.loader.path())).finish()
    }
}
