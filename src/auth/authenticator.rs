//! The door: from what somebody shows to what they may do, as the file says it now.

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

/// A clock may jump, and a laptop sleep: ends are looked at anew so often.
const LOOK: Duration = Duration::from_secs(60);

/// A handle that is cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Option<Arc<Inner>>);

struct Inner {
    table: watch::Sender<Arc<AuthTable>>,
    reading: AuthLoader,
    turns: CheckQueue,
}

/// What somebody gets for what they have shown.
pub enum AuthOutcome {
    Permitted(Permit),
    /// To be tried first.
    Guessed(PasswordCheck),
}

/// Why a stream ends before its client wants it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    Ended(GrantEnd),
    Denied(Denied),
}

impl Authenticator {
    /// Nobody has to show anything.
    pub fn off() -> Self {
        Self(None)
    }

    /// As the file says. An error is one line for the person who started the program.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let reading = AuthLoader::new(path)?;
        let table = watch::Sender::new(Arc::new(reading.table()?));
        Ok(Self(Some(Arc::new(Inner { table, reading, turns: CheckQueue::default() }))))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the files anew. What is wrong with them is logged, and what was said before holds on.
    pub fn reload(&self) {
        let Some(door) = &self.0 else { return };
        match door.reading.table() {
            Ok(table) if table.says_the_same_as(&door.table.borrow()) => {}
            Ok(table) => {
                door.table.send_replace(Arc::new(table));
                info!("the auth file was read anew");
            }
            Err(why) => error!("the auth file is not taken, the one before holds on: {why}"),
        }
        let table = door.table.borrow().clone();
        door.reading.keep_for(&table);
    }

    /// Whether the file, or one that it names, is another than when it was read.
    pub fn has_changed(&self) -> bool {
        self.0.as_ref().is_some_and(|door| door.reading.is_stale())
    }

    /// What somebody may do who shows this.
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
                true => AuthError::Busy("the keys that tokens are checked with cannot be had just now"),
                false => AuthError::Wrong,
            }),
            Decision::Try { name, secret, password } => {
                let (turns, name, secret) = (door.turns.clone(), name.to_owned(), secret.clone());
                Ok(AuthOutcome::Guessed(PasswordCheck { turns, table: table.clone(), name, secret, password }))
            }
        }
    }

    /// A session for a cookie, and its end in ms since the epoch; `None` where there is nothing to sign in to.
    pub fn session(&self, permit: &Permit) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().session(grant, now()).map(Some)
    }

    /// A ticket for a URL, and its end in ms since the epoch; `None` where none is needed.
    pub fn ticket(&self, permit: &Permit, topics: Vec<TopicName>) -> Result<Option<(String, Timestamp)>, GrantEnd> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().ticket(grant, topics, now()).map(Some)
    }

    /// Waits until a permit no longer allows this for `topics`, which may be for ever. `None` where it cannot end.
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

/// `changes`: of the keys that tokens are checked with.
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
            // Nobody changes anything any more.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Auth").field(&self.0.as_ref().map(|door| door.reading.path())).finish()
    }
}
