//! Builds an [`AuthTable`] from the auth file and from the key files and URLs that it names.

use super::file::{self, KeySource};
use super::jwt::{Fetcher, Issuer, IssuerKeys, KeySet, KeySetSource, KeySetUrl};
use super::secret::{self, Digest};
use super::table::AuthTable;
use crate::os::file_stamp::FileStamp;
use crate::os::small_file;
use crate::sync::lock;
use log::warn;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Loads tables, and keeps what outlives each of them: the fetchers of key sets and the process's own secret.
pub struct AuthLoader {
    path: PathBuf,
    /// Signs sessions and tickets if the file has no `ticket_secret`.
    own_secret: [u8; 32],
    /// One for each key set URL in the file.
    fetchers: Mutex<Vec<Fetcher>>,
    /// Notified when a fetch returns different keys.
    changed: Arc<watch::Sender<()>>,
    /// The files of the last load, whether it succeeded or not.
    seen: Mutex<Vec<FileStamp>>,
}

/// The files that one load has read.
struct Texts {
    folder: PathBuf,
    seen: Vec<FileStamp>,
    all: String,
}

impl AuthLoader {
    pub fn new(path: &Path) -> Result<Self, String> {
        let changed = Arc::new(watch::Sender::new(()));
        let path = path.to_owned();
        Ok(Self { path, own_secret: secret::random()?, fetchers: Mutex::default(), changed, seen: Mutex::default() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Reads all files and builds a table. An error is one line that names the file.
    pub fn table(&self) -> Result<AuthTable, String> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let mut texts = Texts { folder, seen: Vec::new(), all: String::new() };
        let table = self.table_of(&mut texts);
        *lock(&self.seen) = texts.seen;
        table
    }

    /// Whether a file has changed since the last load. This includes the files of a failed load, so that a corrected or
    /// newly created file is noticed.
    pub fn is_stale(&self) -> bool {
        lock(&self.seen).iter().any(FileStamp::is_another_now)
    }

    fn table_of(&self, texts: &mut Texts) -> Result<AuthTable, String> {
        let named = |what: String| format!("{}: {what}", self.path.display());
        let text = texts.read(&self.path)?;
        let mut rules = file::parse(&text).map_err(named)?;
        let issuers = std::mem::take(&mut rules.issuers).into_iter().map(|(terms, source)| {
            let name = terms.name.clone();
            let keys = self.keys(source, texts).map_err(|what| named(format!("jwt {name:?}: {what}")))?;
            Ok(Issuer::new(terms, keys))
        });
        let issuers = issuers.collect::<Result<_, String>>()?;
        AuthTable::new(rules, issuers, &self.own_secret, Digest::of(&texts.all)).map_err(named)
    }

    fn keys(&self, source: KeySource, texts: &mut Texts) -> Result<IssuerKeys, String> {
        let known = |keys| IssuerKeys::Known(Arc::new(keys));
        let of = |file: &Path, what: String| format!("{}: {what}", file.display());
        Ok(match source {
            KeySource::Secret(secret) => known(KeySet::of_secret(&secret)?),
            KeySource::Pem(text) => known(KeySet::of_pem(&text)?),
            KeySource::PemFile(file) => known(KeySet::of_pem(&texts.read(&file)?).map_err(|what| of(&file, what))?),
            KeySource::JwksFile(file) => {
                known(KeySet::of_jwks(&texts.read(&file)?, KeySetSource::File).map_err(|what| of(&file, what))?)
            }
            KeySource::JwksUrl { place, ca_file: None } => self.fetched(place)?,
            KeySource::JwksUrl { place, ca_file: Some(file) } => {
                // Reading it here makes a change of the CA file reload the table.
                texts.read(&file)?;
                let authorities = Some(crate::tls::certificates(&texts.at(&file))?);
                self.fetched(KeySetUrl { authorities, ..place })?
            }
        })
    }

    /// Returns the keys of a URL. Reuses the fetcher with the same settings, or starts a new one.
    fn fetched(&self, place: KeySetUrl) -> Result<IssuerKeys, String> {
        let mut fetchers = lock(&self.fetchers);
        if let Some(fetcher) = fetchers.iter().find(|fetcher| fetcher.remote.place == place) {
            return Ok(IssuerKeys::Remote(fetcher.remote.clone()));
        }
        if place.url.starts_with("http://") {
            warn!("fetching token keys from {} without TLS: anyone on the path can forge tokens", place.url);
        }
        // Another setting of the same URL has changed. The old keys stay valid even if the provider is down right now.
        let had = fetchers.iter().find(|fetcher| fetcher.remote.place.url == place.url);
        let keys = had.and_then(|fetcher| fetcher.remote.keys());
        let fetcher = Fetcher::start(place, keys, self.changed.clone())?;
        let keys = IssuerKeys::Remote(fetcher.remote.clone());
        fetchers.push(fetcher);
        Ok(keys)
    }

    /// Stops the fetchers that `table` does not use.
    pub fn keep_for(&self, table: &AuthTable) {
        let mut fetchers = lock(&self.fetchers);
        fetchers.retain(|fetcher| table.uses(&fetcher.remote));
    }
}

impl Texts {
    fn at(&self, file: &Path) -> PathBuf {
        self.folder.join(file)
    }

    fn read(&mut self, file: &Path) -> Result<String, String> {
        // The auth file comes first. Its path is relative to the working directory, all others to its directory.
        let path = if self.seen.is_empty() { file.to_owned() } else { self.at(file) };
        // Taken before reading, so that a write during the read counts as a change.
        self.seen.push(FileStamp::now(path.clone()));
        let text = small_file::read_regular_text(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        self.all.push_str(&text);
        self.all.push('\0');
        Ok(text)
    }
}
