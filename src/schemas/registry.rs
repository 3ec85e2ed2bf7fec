//! A schema registry with Confluent's API (`/schemas/ids/{id}`, `/schemas/guids/{guid}`,
//! `/subjects/{subject}/versions`): fetches schemas, keeps them, and
//! registers new ones.
//!
//! Reading never waits for a registry: [`SchemaRegistry::lookup`] returns at once and has a thread fetch what is missing. While no
//! replica answers, it fails at once, and a request now and then finds out whether one answers again.

mod api;
mod client;
mod failure;
mod flight_cache;
mod inspect;
mod miss_limit;
mod references;
mod settings;

pub use inspect::inspect;
pub use settings::{InvalidRegistryUrl, RegistryCredentials, RegistrySettings, RegistryUrl};

use super::framing::SchemaId;
use super::json_schema::JsonSchema;
use super::schema::Schema;
use super::source::{InvalidSchema, SchemaKind, SchemaSource};
use crate::sync::memory_budget::Share;
use crate::sync::watchdog;
use crate::sync::worker::Worker;
use client::RegistryClient;
use crossbeam_channel::{Receiver, Sender, bounded};
use flight_cache::{CacheLimits, Claim, FetchOutcome, FetchTicket, FlightCache, Lifetime};
use miss_limit::{MAX_MISSES, MissLimit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The time limit of a call that blocks, with all references and replicas.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The threads that fetch schemas for [`SchemaRegistry::lookup`].
const FETCHERS: usize = 2;
/// The most ids that wait for such a thread.
const MAX_QUEUED: usize = 256;
/// The most parsed schemas, subjects whose latest id is known, and registered texts.
const MAX_SCHEMAS: usize = 10_000;
const MAX_SUBJECTS: usize = 1_000;
const MAX_REGISTERED: usize = 1_000;
/// The sixteenths of the memory share for each of these.
const SCHEMAS_PART: usize = 12;
const SUBJECTS_PART: usize = 1;
const REGISTERED_PART: usize = 3;
/// The approximate memory of an entry beside its content.
const ENTRY_BYTES: usize = 256;

/// The schemas of a registry. Cheap to clone; shared by all threads.
#[derive(Clone)]
pub struct SchemaRegistry {
    shared: Arc<RegistryState>,
    fetchers: Arc<FetchThreads>,
}

/// Dropping it stops and joins the threads, which may take until a request times out.
struct FetchThreads {
    // Fields drop in order: the channel closes before the threads are joined.
    queue: Sender<FetchTicket<SchemaId, Arc<Schema>>>,
    queued: Receiver<FetchTicket<SchemaId, Arc<Schema>>>,
    _workers: Vec<Worker>,
}

impl Drop for FetchThreads {
    fn drop(&mut self) {
        // Without this, the threads would fetch all that wait before they end.
        self.queued.try_iter().for_each(drop);
    }
}

struct RegistryState {
    client: RegistryClient,
    schemas: Arc<FlightCache<SchemaId, Arc<Schema>>>,
    latest: Arc<FlightCache<String, SchemaId>>,
    registered: Arc<FlightCache<(String, SchemaKind, String), SchemaId>>,
    /// The most memory of one schema, in bytes.
    largest_schema: usize,
    /// Of readers. Records that begin with a zero byte by chance would otherwise cost a request each.
    reader_misses: MissLimit,
    /// Of producers, so that readers of such records do not make their requests fail.
    producer_misses: MissLimit,
}

/// The state of a schema in the cache.
#[derive(Debug, Clone)]
pub enum Lookup {
    Ready(Arc<Schema>),
    /// The schema is being fetched. One request per id is in flight, however many callers ask.
    Pending,
    /// The registry has no such schema, cannot be reached, or has one that cannot be used. Remembered for a while.
    Failed(Arc<RegistryError>),
}

/// Why a schema is not available. The text is one line, without credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    #[error("the schema registry cannot be reached: {0}")]
    Unreachable(String),
    #[error("the schema registry has no {0}")]
    NotFound(String),
    /// 401 and 403, or the credentials cannot be read: only the operator of the bridge can help.
    #[error("the bridge's credentials for the schema registry do not work: {0}")]
    Credentials(String),
    /// Other 4xx, such as 409 for an incompatible schema, with the registry's own words.
    #[error("the schema registry refused: {0}")]
    Refused(String),
    /// The registry was not asked.
    #[error(
        "the id is not in the cache, and the schema registry is asked about {MAX_MISSES} unknown ids per minute at most"
    )]
    TooManyUnknown { retry_after: Duration },
    #[error("the schema cannot be used: {0}")]
    Invalid(#[from] InvalidSchema),
}

/// The use of a registry, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryUsage {
    /// Requests by outcome.
    pub requests: [(&'static str, u64); 4],
    /// Ids with a schema or an error in the cache.
    pub cached: usize,
    pub cached_bytes: usize,
}

impl SchemaRegistry {
    /// Starts the threads of a registry, whose schemas are kept in `memory`. Does not connect.
    pub fn start(settings: RegistrySettings, memory: &Arc<Share>) -> std::io::Result<Self> {
        if let Some(note) = settings.note() {
            log::warn!("{note}");
        }
        let limits = |entries, part| CacheLimits { entries, bytes: memory.limit() / 16 * part };
        let schema_limits = limits(MAX_SCHEMAS, SCHEMAS_PART);
        let shared = Arc::new(RegistryState {
            client: RegistryClient::new(settings),
            schemas: Arc::new(FlightCache::new(schema_limits, memory.empty_reservation())),
            latest: Arc::new(FlightCache::new(limits(MAX_SUBJECTS, SUBJECTS_PART), memory.empty_reservation())),
            registered: Arc::new(FlightCache::new(limits(MAX_REGISTERED, REGISTERED_PART), memory.empty_reservation())),
            largest_schema: schema_limits.bytes.saturating_sub(ENTRY_BYTES),
            reader_misses: MissLimit::new(),
            producer_misses: MissLimit::new(),
        });
        let (queue, tickets) = bounded(MAX_QUEUED);
        let start = |i| {
            let (shared, tickets) = (shared.clone(), tickets.clone());
            Worker::start(format!("schema-fetch-{i}"), move || shared.run(&tickets))
        };
        let _workers = (0..FETCHERS).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { shared, fetchers: Arc::new(FetchThreads { queue, queued: tickets, _workers }) })
    }

    /// Returns the schema of an id if it is known, and otherwise has it fetched. Does not block.
    pub fn lookup(&self, id: SchemaId) -> Lookup {
        if let Err(error) = self.shared.check_kind(id) {
            return Lookup::Failed(Arc::new(error));
        }
        let known = match self.shared.schemas.claim(&id) {
            Claim::Known(result) => Some(result),
            Claim::InFlight => None,
            Claim::Mine(ticket, stale) => match self.shared.reader_misses.check() {
                Ok(()) => {
                    // When the queue is full, the ticket is dropped, and the next lookup tries again.
                    drop(self.fetchers.queue.try_send(ticket));
                    stale
                }
                Err(error) => stale.or_else(|| Some(Err(Arc::new(error)))),
            },
        };
        match known {
            Some(Ok(schema)) => Lookup::Ready(schema),
            Some(Err(error)) => Lookup::Failed(error),
            None => Lookup::Pending,
        }
    }

    /// Returns the schema of an id for a producer. Blocks until it is fetched, within the time limit of a request.
    pub fn by_id(&self, id: SchemaId) -> Result<Arc<Schema>, RegistryError> {
        self.shared.check_kind(id)?;
        let deadline = Instant::now() + CALL_TIMEOUT;
        self.shared.schemas.get(&id, deadline, |id| self.shared.fetch(*id, deadline, &self.shared.producer_misses))
    }

    /// Returns what [`by_id`](Self::by_id) returns, if it is known. Does not block.
    pub fn known(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.shared.schemas.peek(&id)
    }

    /// Returns the latest schema of a subject. Blocks; the answer is kept for a short time.
    pub fn latest(&self, subject: &str) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let id = self.shared.latest.get(&subject.to_owned(), deadline, |subject| {
            let result = self.shared.client.latest_id(subject, deadline);
            // The id may have been looked up when it was still unknown.
            result.iter().for_each(|id| self.shared.schemas.forget_error(id));
            let fresh = match &result {
                Ok(_) | Err(RegistryError::NotFound(_)) => Duration::from_secs(10),
                Err(_) => Duration::from_secs(1),
            };
            let lifetime = Lifetime { fresh: Some(fresh), stale: Duration::ZERO };
            FetchOutcome { result: result.map_err(Arc::new), bytes: ENTRY_BYTES + 2 * subject.len(), lifetime }
        })?;
        Ok((id, self.by_id(id)?))
    }

    /// Returns what [`latest`](Self::latest) returns, if it is known. Does not block.
    pub fn known_latest(&self, subject: &str) -> Option<(SchemaId, Arc<Schema>)> {
        let id = self.shared.latest.peek(&subject.to_owned())?;
        Some((id, self.shared.schemas.peek(&id)?))
    }

    /// Returns what [`register`](Self::register) returns, if it is known. Does not block.
    pub fn known_registered(&self, subject: &str, source: &SchemaSource) -> Option<(SchemaId, Arc<Schema>)> {
        let id = self.shared.registered.peek(&(subject.to_owned(), source.kind, source.text.clone()))?;
        Some((id, self.shared.schemas.peek(&id)?))
    }

    /// Returns the id of a schema under a subject, registering it if it is new. Blocks.
    pub fn register(&self, subject: &str, source: &SchemaSource) -> Result<(SchemaId, Arc<Schema>), RegistryError> {
        if !source.references.is_empty() {
            return Err(InvalidSchema("a schema with references cannot be registered here".to_owned()).into());
        }
        let deadline = Instant::now() + CALL_TIMEOUT;
        let key = (subject.to_owned(), source.kind, source.text.clone());
        let mut parsed = None;
        let id = self.shared.registered.get(&key, deadline, |_| {
            // What cannot be used here is not registered.
            let result = self.shared.parse(source).map_err(RegistryError::from).and_then(|schema| {
                parsed = Some(schema);
                self.shared.client.register(subject, source, deadline)
            });
            let fresh = match &result {
                Ok(_) => None,
                Err(RegistryError::Unreachable(_)) => Some(Duration::from_secs(1)),
                Err(_) => Some(Duration::from_secs(5)),
            };
            let bytes = ENTRY_BYTES + 2 * (subject.len() + source.text.len());
            let lifetime = Lifetime { fresh, stale: Duration::ZERO };
            FetchOutcome { result: result.map_err(Arc::new), bytes, lifetime }
        })?;
        if let (Some(schema), None) = (parsed, self.shared.schemas.peek(&id)) {
            // The id may have been looked up when it was still unknown.
            self.shared.schemas.insert(&id, keep(Ok(Arc::new(schema))));
        }
        Ok((id, self.by_id(id)?))
    }

    /// The requests and the cache.
    pub fn usage(&self) -> RegistryUsage {
        let counts = &self.shared.client.counts;
        let (cached, cached_bytes) = self.shared.schemas.size();
        RegistryUsage {
            requests: [
                ("answered", &counts.answered),
                ("not_found", &counts.not_found),
                ("refused", &counts.refused),
                ("unreachable", &counts.unreachable),
            ]
            .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed))),
            cached,
            cached_bytes,
        }
    }
}

impl RegistryState {
    /// Fetches what lookups are missing, until the queue closes.
    fn run(&self, tickets: &Receiver<FetchTicket<SchemaId, Arc<Schema>>>) {
        while let Ok(ticket) = tickets.recv() {
            let outcome = self.fetch(ticket.key, Instant::now() + CALL_TIMEOUT, &self.reader_misses);
            ticket.finish(outcome);
        }
    }

    fn fetch(&self, id: SchemaId, deadline: Instant, misses: &MissLimit) -> FetchOutcome<Arc<Schema>> {
        if let Err(error) = misses.check() {
            return FetchOutcome { result: Err(Arc::new(error)), bytes: 0, lifetime: Lifetime::NONE };
        }
        let fetched = self.client.schema(id, deadline);
        if matches!(fetched, Err(RegistryError::NotFound(_))) {
            misses.count();
        }
        keep(fetched.and_then(|source| Ok(Arc::new(self.parse_for_reading(&source)?))))
    }

    /// Fails if no replica can look up ids of this kind. This is not cached and is no miss, because no request is sent.
    fn check_kind(&self, id: SchemaId) -> Result<(), RegistryError> {
        if self.client.can_look_up(id) { Ok(()) } else { Err(RegistryError::NotFound(api::describe(id))) }
    }
}

impl RegistryState {
    /// Parses a schema of the registry. Reading needs nothing of a JSON Schema, so an invalid or large one fails only writes.
    fn parse_for_reading(&self, source: &SchemaSource) -> Result<Schema, InvalidSchema> {
        self.parse(source).or_else(|error| match source.kind {
            SchemaKind::Json => Ok(Schema::Json(JsonSchema::read_only(error))),
            SchemaKind::Avro | SchemaKind::Protobuf => Err(error),
        })
    }

    /// Parses a schema. Fails if it does not fit into the cache: it would be fetched again for each record.
    fn parse(&self, source: &SchemaSource) -> Result<Schema, InvalidSchema> {
        self.check_size(Schema::memory_before_parsing(source))?;
        let schema = parse(source)?;
        self.check_size(schema.memory())?;
        Ok(schema)
    }

    fn check_size(&self, memory: usize) -> Result<(), InvalidSchema> {
        let largest = self.largest_schema;
        let why = || {
            format!("it takes {memory} bytes of memory, and --memory-budget leaves {largest} for a schema; raise it")
        };
        if memory <= largest { Ok(()) } else { Err(InvalidSchema(why())) }
    }
}

/// Parses a schema. A panic of a parser is remembered as its error. Otherwise the next lookup would repeat it, and the records
/// with this id would wait for ever.
fn parse(source: &SchemaSource) -> Result<Schema, InvalidSchema> {
    let panicked = || Err(InvalidSchema("its parser panicked; please report this".to_owned()));
    watchdog::caught_in_poll(|| Schema::parse(source)).unwrap_or_else(panicked)
}

/// The lifetime of a schema, or of the error in its place.
fn keep(result: Result<Arc<Schema>, RegistryError>) -> FetchOutcome<Arc<Schema>> {
    let seconds = Duration::from_secs;
    let (fresh, stale) = match &result {
        // An id never gets another schema.
        Ok(_) => (None, seconds(0)),
        Err(RegistryError::NotFound(_)) => (Some(seconds(60)), seconds(0)),
        Err(RegistryError::Invalid(_)) => (Some(seconds(60)), seconds(0)),
        Err(RegistryError::Credentials(_) | RegistryError::Refused(_)) => (Some(seconds(5)), seconds(60)),
        Err(RegistryError::TooManyUnknown { .. }) => (Some(seconds(0)), seconds(0)),
        // Reading goes on without the schema while the next request is in flight.
        Err(RegistryError::Unreachable(_)) => (Some(seconds(1)), seconds(60)),
    };
    let bytes = ENTRY_BYTES + result.as_ref().map_or(0, |schema| schema.memory());
    FetchOutcome { result: result.map_err(Arc::new), bytes, lifetime: Lifetime { fresh, stale } }
}

impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SchemaRegistry").field(&self.shared.client.urls()).finish()
    }
}
