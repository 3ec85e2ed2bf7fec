//! The door: from what somebody shows to what they may do, as the file says it now.

use super::credential::Credential;
use super::permit::{Denied, Grant, Permit};
use super::reading::Reading;
use super::rights::Right;
use super::table::{Answer, Arrival, Ended, Refused, Table};
use crate::record::{Timestamp, TopicName, now};
use log::{error, info};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Passwords that are tried at a time: each try takes a core for tens of milliseconds.
const TRIES: usize = 1;
/// How long a try may wait for its turn.
const TURN: Duration = Duration::from_secs(5);
/// A clock may jump, and a laptop sleep: ends are looked at anew so often.
const LOOK: Duration = Duration::from_secs(60);

/// A handle that is cheap to clone.
#[derive(Clone)]
pub struct Auth(Option<Arc<Door>>);

struct Door {
    table: watch::Sender<Arc<Table>>,
    reading: Reading,
    tries: Arc<Semaphore>,
}

/// Why a stream ends before its client wants it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    Ended(Ended),
    Denied(Denied),
}

impl Auth {
    /// Nobody has to show anything.
    pub fn off() -> Self {
        Self(None)
    }

    /// As the file says. An error is one line for the person who started the program.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let reading = Reading::new(path)?;
        let table = watch::Sender::new(Arc::new(reading.table()?));
        Ok(Self(Some(Arc::new(Door { table, reading, tries: Arc::new(Semaphore::new(TRIES)) }))))
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

    /// What is read: the file, and those that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.iter().flat_map(|door| door.table.borrow().files().to_vec()).collect()
    }

    /// What somebody may do who shows this.
    pub async fn permit(&self, credential: Option<&Credential>, arrival: Arrival) -> Result<Permit, Refused> {
        let Some(door) = &self.0 else { return Ok(Permit::everything()) };
        let credential = credential.ok_or(Refused::Missing)?;
        let table = door.table.borrow().clone();
        let mut answer = table.answer(credential, arrival, now());
        if let Answer::Fetch(remotes) = &answer {
            for remote in remotes {
                remote.refresh().await;
            }
            answer = table.answer(credential, arrival, now());
        }
        match answer {
            Answer::Granted(grant) => Ok(Permit::of(grant)),
            Answer::Refused(refused) => Err(refused),
            Answer::Fetch(remotes) => Err(match remotes.iter().any(|remote| remote.keys().is_none()) {
                true => Refused::Busy("the keys that tokens are checked with cannot be had just now"),
                false => Refused::Wrong,
            }),
            Answer::Try { name, secret, password } => {
                let turn = tokio::time::timeout(TURN, door.tries.clone().acquire_owned()).await;
                let Ok(Ok(turn)) = turn else { return Err(Refused::Busy("too many passwords are being tried")) };
                let tried = secret.clone();
                let is_right = tokio::task::spawn_blocking(move || {
                    let is_right = password.is(&tried);
                    drop(turn);
                    is_right
                });
                match is_right.await {
                    Ok(true) => table.tried(name, secret, now()).map(Permit::of),
                    Ok(false) | Err(_) => Err(Refused::Wrong),
                }
            }
        }
    }

    /// A session for a cookie, and its end in ms since the epoch; `None` where there is nothing to sign in to.
    pub fn session(&self, permit: &Permit) -> Result<Option<(String, Timestamp)>, Ended> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().session(grant, now()).map(Some)
    }

    /// A ticket for a URL, and its end in ms since the epoch; `None` where none is needed.
    pub fn ticket(&self, permit: &Permit, topics: Vec<TopicName>) -> Result<Option<(String, Timestamp)>, Ended> {
        let (Some(door), Some(grant)) = (&self.0, permit.grant()) else { return Ok(None) };
        door.table.borrow().ticket(grant, topics, now()).map(Some)
    }

    /// Waits until a permit no longer allows this for `topics`, which may be for ever. `None` where it cannot end.
    pub fn over(
        &self,
        permit: &Permit,
        right: Right,
        topics: Vec<TopicName>,
    ) -> Option<impl Future<Output = Over> + Send + Sync + use<>> {
        let (door, grant) = (self.0.as_ref()?, permit.shared()?);
        let (tables, changes) = (door.table.subscribe(), door.reading.changes());
        Some(over(tables, changes, grant, right, topics))
    }
}

/// `changes`: of the keys that tokens are checked with.
async fn over(
    mut tables: watch::Receiver<Arc<Table>>,
    mut changes: watch::Receiver<()>,
    grant: Arc<Grant>,
    right: Right,
    topics: Vec<TopicName>,
) -> Over {
    loop {
        changes.mark_unchanged();
        let table = tables.borrow_and_update().clone();
        let until = match table.until(&grant.held, now()) {
            Ok(until) => until,
            Err(ended) => return Over::Ended(ended),
        };
        if let Err(denied) = table.still_allows(&grant, right, &topics) {
            return Over::Denied(denied);
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

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Auth").field(&self.0.as_ref().map(|door| door.reading.path())).finish()
    }
}
