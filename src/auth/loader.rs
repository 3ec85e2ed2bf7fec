//! Builds an [`AuthTable`] from the auth file and from the key files and URLs that it names.

use super::crypto::{self, Digest, NoRandomBytes};
use super::file::{self, KeySource};
use super::jwt::{Fetcher, FetcherError, Issuer, IssuerKeys, KeySet, KeySetSource, KeySetUrl};
use super::load_error::{IssuerKeysError, LoadError, LoadFault, UnreadableFile};
use super::table::AuthTable;
use crate::os::file_stamp::FileStamp;
use crate::os::small_file;
use crate::sync::lock;
use log::warn;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Loads tables. Owns the state that outlives each table: the key set fetchers and the secret of this process.
pub struct AuthLoader {
    path: PathBuf,
    /// Signs sessions and tickets if the file has no `ticket_secret`.
    process_secret: [u8; 32],
    /// One fetcher for each key set URL in the file.
    fetchers: Mutex<Vec<Fetcher>>,
    /// Notified when a fetch returns different keys.
    keys_changed: Arc<watch::Sender<()>>,
    /// The files of the last load, whether it succeeded or not.
    stamps: Mutex<Vec<FileStamp>>,
}

/// The files read by one load.
struct SourceFiles {
    directory: PathBuf,
    stamps: Vec<FileStamp>,
    contents: String,
}

impl AuthLoader {
    pub fn new(path: &Path) -> Result<Self, NoRandomBytes> {
        let keys_changed = Arc::new(watch::Sender::new(()));
        let path = path.to_owned();
        Ok(Self {
            path,
            process_secret: crypto::random()?,
            fetchers: Mutex::default(),
            keys_changed,
            stamps: Mutex::default(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn key_changes(&self) -> watch::Receiver<()> {
        self.keys_changed.subscribe()
    }

    /// Reads all files and builds a table.
    pub fn table(&self) -> Result<AuthTable, LoadError> {
        let directory = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let mut sources = SourceFiles { directory, stamps: Vec::new(), contents: String::new() };
        let table = self.table_of(&mut sources);
        *lock(&self.stamps) = sources.stamps;
        table
    }

    /// Whether a file has changed since the last load. This includes the files of a failed load, so that a corrected or
    /// newly created file is noticed.
    pub fn is_stale(&self) -> bool {
        lock(&self.stamps).iter().any(FileStamp::has_changed)
    }

    fn table_of(&self, sources: &mut SourceFiles) -> Result<AuthTable, LoadError> {
        let text = sources.read(&self.path)?;
        let table = self.parse(&text, sources);
        table.map_err(|fault| LoadError::Invalid { path: self.path.clone(), fault })
    }

    /// Parses the text of the auth file and reads the files that it names.
    fn parse(&self, text: &str, sources: &mut SourceFiles) -> Result<AuthTable, LoadFault> {
        let mut rules = file::parse(text)?;
        let issuers = std::mem::take(&mut rules.issuers).into_iter().map(|(settings, source)| {
            let name = settings.name.clone();
            let keys = self.keys(source, sources).map_err(|fault| LoadFault::Issuer { name, fault })?;
            Ok(Issuer::new(settings, keys))
        });
        let issuers = issuers.collect::<Result<_, LoadFault>>()?;
        Ok(AuthTable::new(rules, issuers, &self.process_secret, Digest::of(&sources.contents))?)
    }

    fn keys(&self, source: KeySource, sources: &mut SourceFiles) -> Result<IssuerKeys, IssuerKeysError> {
        let known = |keys| IssuerKeys::Known(Arc::new(keys));
        let in_file = |file, fault| IssuerKeysError::File { file, fault };
        Ok(match source {
            KeySource::Secret(secret) => known(KeySet::from_secret(&secret)?),
            KeySource::Pem(text) => known(KeySet::from_pem(&text)?),
            KeySource::PemFile(file) => {
                known(KeySet::from_pem(&sources.read(&file)?).map_err(|fault| in_file(file, fault))?)
            }
            KeySource::JwksFile(file) => known(
                KeySet::from_jwks(&sources.read(&file)?, KeySetSource::File).map_err(|fault| in_file(file, fault))?,
            ),
            KeySource::JwksUrl { location, ca_file: None } => self.remote_keys(location)?,
            KeySource::JwksUrl { location, ca_file: Some(file) } => {
                // Read here as well, so that a change of the CA file reloads the table.
                sources.read(&file)?;
                let ca_certificates = Some(crate::tls::certificates(&sources.at(&file))?);
                self.remote_keys(KeySetUrl { ca_certificates, ..location })?
            }
        })
    }

    /// Returns the keys of a URL. Reuses the fetcher with the same settings, or starts a new one.
    fn remote_keys(&self, location: KeySetUrl) -> Result<IssuerKeys, FetcherError> {
        let mut fetchers = lock(&self.fetchers);
        if let Some(fetcher) = fetchers.iter().find(|fetcher| fetcher.remote.location == location) {
            return Ok(IssuerKeys::Remote(fetcher.remote.clone()));
        }
        if location.url.starts_with("http://") {
            warn!("fetching token keys from {} without TLS: anyone on the path can forge tokens", location.url);
        }
        // If only another setting of the URL has changed, the old keys stay valid, even while the provider is down.
        let previous = fetchers.iter().find(|fetcher| fetcher.remote.location.url == location.url);
        let keys = previous.and_then(|fetcher| fetcher.remote.keys());
        let fetcher = Fetcher::start(location, keys, self.keys_changed.clone())?;
        let keys = IssuerKeys::Remote(fetcher.remote.clone());
        fetchers.push(fetcher);
        Ok(keys)
    }

    /// Stops the fetchers that `table` does not use.
    pub fn stop_unused_fetchers(&self, table: &AuthTable) {
        let mut fetchers = lock(&self.fetchers);
        fetchers.retain(|fetcher| table.uses(&fetcher.remote));
    }
}

impl SourceFiles {
    fn at(&self, file: &Path) -> PathBuf {
        self.directory.join(file)
    }

    fn read(&mut self, file: &Path) -> Result<String, UnreadableFile> {
        // The auth file comes first. Its path is relative to the working directory, all others to its directory.
        let path = if self.stamps.is_empty() { file.to_owned() } else { self.at(file) };
        // The stamp is taken before the read, so that a write during the read counts as a change.
        self.stamps.push(FileStamp::now(path.clone()));
        let text = small_file::read_regular_text(&path).map_err(|source| UnreadableFile { path, source })?;
        self.contents.push_str(&text);
        self.contents.push('\0');
        Ok(text)
    }
}
