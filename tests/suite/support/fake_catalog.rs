//! Schemas without a registry.

use curlew::schemas::catalog::{KnownSchema, SchemaCatalog};
use curlew::schemas::framing::SchemaId;
use curlew::schemas::registry::RegistryError;
use curlew::schemas::schema::Schema;
use curlew::schemas::source::SchemaSource;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the registry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Answers,
    Unreachable,
    /// Rejects the bridge's credentials.
    Unauthorized,
    /// Is not asked about any more ids.
    Exhausted,
    /// Does not respond until its conduct changes.
    Hangs,
    /// Rejects new schemas as incompatible.
    Rejects,
}

/// A registry in memory. Ids are positions in its list, from 1 on.
#[derive(Debug)]
pub struct FakeCatalog {
    conduct: Mutex<Conduct>,
    changed: Condvar,
    /// Callers that have no response yet.
    waiting: AtomicUsize,
    schemas: Mutex<Vec<(String, SchemaSource)>>,
    /// Ids that are known without asking, as in a cache.
    cached: Mutex<Vec<SchemaId>>,
}

impl FakeCatalog {
    pub fn new() -> Arc<Self> {
        let (conduct, schemas, cached) = (Mutex::new(Conduct::Answers), Mutex::default(), Mutex::default());
        Arc::new(Self { conduct, changed: Condvar::new(), waiting: AtomicUsize::new(0), schemas, cached })
    }

    pub fn set(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
        self.changed.notify_all();
    }

    /// Returns the subjects in the order of their ids.
    pub fn subjects(&self) -> Vec<String> {
        self.schemas.lock().unwrap().iter().map(|(subject, _)| subject.clone()).collect()
    }

    /// Adds a schema and returns its id.
    pub fn add(&self, subject: &str, source: SchemaSource) -> u32 {
        let mut schemas = self.schemas.lock().unwrap();
        schemas.push((subject.to_owned(), source));
        schemas.len() as u32
    }

    /// Returns the number of callers that have no response yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn answer(&self) -> Result<Conduct, RegistryError> {
        let conduct = self.conduct.lock().unwrap();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let conduct = *self.changed.wait_while(conduct, |conduct| *conduct == Conduct::Hangs).unwrap();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        match conduct {
            Conduct::Unreachable => Err(RegistryError::Unreachable("connection refused".into())),
            Conduct::Unauthorized => Err(RegistryError::Credentials("http://registry answers 401".into())),
            Conduct::Exhausted => Err(RegistryError::TooManyUnknown { retry_after: Duration::from_millis(7_500) }),
            conduct => Ok(conduct),
        }
    }

    fn find(&self, wanted: impl Fn(&(String, SchemaSource)) -> bool) -> Option<(SchemaId, SchemaSource)> {
        let schemas = self.schemas.lock().unwrap();
        let index = schemas.iter().rposition(wanted)?;
        Some((SchemaId::Id(index as u32 + 1), schemas[index].1.clone()))
    }

    fn parsed(&self, id: SchemaId, source: &SchemaSource) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        let schema = Arc::new(Schema::parse(source)?);
        self.cached.lock().unwrap().push(id);
        Ok((id, schema))
    }

    fn source(&self, id: SchemaId) -> Option<SchemaSource> {
        let SchemaId::Id(number) = id else { return None };
        let index = usize::try_from(number).unwrap().checked_sub(1)?;
        Some(self.schemas.lock().unwrap().get(index)?.1.clone())
    }
}

impl SchemaCatalog for FakeCatalog {
    fn known(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let source = self.source(id).filter(|_| self.cached.lock().unwrap().contains(&id))?;
        Some(Arc::new(Schema::parse(&source).unwrap()))
    }

    fn known_latest(&self, _subject: &str) -> Option<KnownSchema> {
        None
    }

    fn known_registered(&self, subject: &str, source: &SchemaSource) -> Option<KnownSchema> {
        let (id, _) = self.find(|(known, text)| known == subject && text == source)?;
        Some((id, self.known(id)?))
    }

    fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        self.answer()?;
        let source = self.source(id).ok_or_else(|| RegistryError::NotFound(format!("schema {id:?}")))?;
        Ok(self.parsed(id, &source)?.1)
    }

    fn latest(&self, subject: &str) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        self.answer()?;
        let (id, source) = self
            .find(|(known, _)| known == subject)
            .ok_or_else(|| RegistryError::NotFound(format!("subject {subject}")))?;
        self.parsed(id, &source)
    }

    fn register(&self, subject: &str, source: &SchemaSource) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        let conduct = self.answer()?;
        if let Some((id, _)) = self.find(|(known, text)| known == subject && text == source) {
            return self.parsed(id, source);
        }
        if conduct == Conduct::Rejects {
            return Err(RegistryError::Refused("409: the schema is incompatible with an earlier one".into()));
        }
        Schema::parse(source)?;
        let id = SchemaId::Id(self.add(subject, source.clone()));
        self.parsed(id, source)
    }
}
