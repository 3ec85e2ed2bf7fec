//! From files and URLs to a [`Table`].

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

/// What tables are read with, and what outlives them.
pub struct AuthLoader {
    path: PathBuf,
    /// Seals where the file has no secret for it.
    own_secret: [u8; 32],
    /// One for each URL that the file names.
    fetchers: Mutex<Vec<Fetcher>>,
    /// Told when fetched keys are others than before.
    changed: Arc<watch::Sender<()>>,
    /// The files that were read last, well or not.
    seen: Mutex<Vec<FileStamp>>,
}

/// The texts that a table is made of.
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

    /// An error is one line that names the file.
    pub fn table(&self) -> Result<AuthTable, String> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let mut texts = Texts { folder, seen: Vec::new(), all: String::new() };
        let table = self.table_of(&mut texts);
        *lock(&self.seen) = texts.seen;
        table
    }

    /// Whether there may be another table by now, also where the last one could not be had.
    pub fn is_stale(&self) -> bool {
        lock(&self.seen).iter().any(FileStamp::has_changed)
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
                // Among the texts, a change of it counts.
                texts.read(&file)?;
                let authorities = Some(crate::tls::certificates(&texts.at(&file))?);
                self.fetched(KeySetUrl { authorities, ..place })?
            }
        })
    }

    /// The keys of a URL, by the thread that fetches them already or by a new one.
    fn fetched(&self, place: KeySetUrl) -> Result<IssuerKeys, String> {
        let mut fetchers = lock(&self.fetchers);
        if let Some(fetcher) = fetchers.iter().find(|fetcher| fetcher.remote.place == place) {
            return Ok(IssuerKeys::Remote(fetcher.remote.clone()));
        }
        if place.url.starts_with("http://") {
            warn!("keys for tokens come from {} without TLS: whoever is in between can make tokens", place.url);
        }
        // The provider may be away just when some other setting of it is changed.
        let had = fetchers.iter().find(|fetcher| fetcher.remote.place.url == place.url);
        let keys = had.and_then(|fetcher| fetcher.remote.keys());
        let fetcher = Fetcher::start(place, keys, self.changed.clone())?;
        let keys = IssuerKeys::Remote(fetcher.remote.clone());
        fetchers.push(fetcher);
        Ok(keys)
    }

    /// Ends the threads that this table does not need.
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
        // The auth file itself is named from where the program runs.
        let path = if self.seen.is_empty() { file.to_owned() } else { self.at(file) };
        // Before it is read: what is written meanwhile makes it another.
        self.seen.push(FileStamp::now(path.clone()));
        let text = small_file::read_regular_text(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        self.all.push_str(&text);
        self.all.push('\0');
        Ok(text)
    }
}
