//! A stream that starts with a snapshot, cut at every point of the log and of the stream: a client that applies each
//! record by its key has the state of the log, and receives each record after the snapshot once.

use crate::hub::{Client, Lines, hub, resume, subscription, topic};
use crate::support::memory_broker::{MemoryBroker, Tombstones};
use curlew::cursor::{Cursor, Selection};
use curlew::hub::*;
use curlew::record::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PARTITIONS: usize = 3;

/// The offset and value of the latest record, by partition and key. A tombstone removes its key.
type State = BTreeMap<(Partition, String), (Offset, String)>;

/// Every record that was written: partition, offset, key and value, with `-` for null.
type History = Vec<(Partition, Offset, String, String)>;

fn snapshot(start: Start, until: Until) -> Subscription {
    Subscription { format: Arc::new(Lines::KeysAndValues), until, ..subscription(&["t"], start) }
}

fn from_snapshot(until: Until) -> Subscription {
    snapshot(Start::Snapshot { since: None }, until)
}

fn append(broker: &MemoryBroker, history: &mut History, (partition, key, value): (usize, Option<u8>, Option<u8>)) {
    let text = |byte: Option<u8>| byte.map(|byte| byte.to_string());
    let bytes = |text: Option<String>| text.map(bytes::Bytes::from);
    let record = NewRecord { key: bytes(text(key)), value: bytes(text(value)), ..NewRecord::default() };
    let offset = broker.append_record("t", partition, record);
    let shown = |byte| text(byte).unwrap_or("-".into());
    history.push((partition as Partition, offset, shown(key), shown(value)));
}

/// Applies a record as a client does.
fn apply(state: &mut State, (partition, offset, key, value): (Partition, Offset, &str, &str)) {
    match (key, value) {
        ("-", _) => {}
        (key, "-") => drop(state.remove(&(partition, key.to_owned()))),
        (key, value) => drop(state.insert((partition, key.to_owned()), (offset, value.to_owned()))),
    }
}

/// The state of the log before these offsets.
fn fold(history: &History, before: impl Fn(Partition) -> Offset) -> State {
    let mut state = State::new();
    for (partition, offset, key, value) in history.iter().filter(|(partition, offset, ..)| *offset < before(*partition))
    {
        apply(&mut state, (*partition, *offset, key, value));
    }
    state
}

/// Parses `record t/PARTITION@OFFSET KEY=VALUE ID`.
fn record(line: &str) -> Option<(Partition, Offset, &str, &str)> {
    let mut words = line.strip_prefix("record t/")?.split(' ');
    let (partition, offset) = words.next()?.split_once('@')?;
    let (key, value) = words.next()?.split_once('=')?;
    Some((partition.parse().unwrap(), offset.parse().unwrap(), key, value))
}

/// The positions in the id of a line.
fn cut(line: &str) -> BTreeMap<Partition, Offset> {
    let id = line.rsplit(' ').next().unwrap();
    Cursor::parse(id, vec![topic("t")], Selection::All).unwrap().offsets(0).collect()
}

fn live_line(lines: &[String]) -> usize {
    lines.iter().position(|line| line.starts_with("live ")).unwrap()
}

/// Applies lines to `state`. Returns the offsets of their records by partition.
fn apply_all(state: &mut State, lines: &[String]) -> BTreeMap<Partition, Vec<Offset>> {
    let mut offsets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for found in lines.iter().filter_map(|line| record(line)) {
        apply(state, found);
        offsets.entry(found.0).or_default().push(found.1);
    }
    offsets
}

/// Checks that `lines` contain every record of the log from `cut` on, once and in order. A record that compaction has
/// removed may be missing.
fn check_continuation(
    broker: &MemoryBroker,
    cut: &BTreeMap<Partition, Offset>,
    offsets: &BTreeMap<Partition, Vec<Offset>>,
) -> Result<(), TestCaseError> {
    for (partition, from) in cut {
        let found = offsets.get(partition).cloned().unwrap_or_default();
        prop_assert!(found.is_sorted_by(|a, b| a < b), "{partition} from {from}: {found:?}");
        prop_assert!(found.first().is_none_or(|first| first >= from), "{partition} from {from}: {found:?}");
        let found: BTreeSet<_> = found.into_iter().collect();
        let log = broker.records("t", *partition as usize);
        let missing: Vec<_> =
            log.iter().map(|(offset, _)| offset).filter(|offset| *offset >= from && !found.contains(offset)).collect();
        prop_assert!(missing.is_empty(), "{partition} from {from}: {missing:?} are missing in {found:?}");
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum CutStep {
    /// Appends a record with this partition, key and value.
    Append((usize, Option<u8>, Option<u8>)),
    Compact(usize),
    Open,
}

fn records() -> impl Strategy<Value = (usize, Option<u8>, Option<u8>)> {
    (0..PARTITIONS, prop::option::weighted(0.9, 0u8..6), prop::option::weighted(0.75, any::<u8>()))
}

fn steps() -> impl Strategy<Value = Vec<CutStep>> {
    let step = prop_oneof![
        30 => records().prop_map(CutStep::Append),
        2 => (0..PARTITIONS).prop_map(CutStep::Compact),
        2 => Just(CutStep::Open),
    ];
    prop::collection::vec(step, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_snapshot_equals_a_fold_at_every_offset_of_the_log(records in prop::collection::vec(records(), 1..30)) {
        let broker = MemoryBroker::new();
        broker.create("t", PARTITIONS);
        let mut history = History::new();
        for given in records {
            append(&broker, &mut history, given);
            // A new hub, which has not read the log before.
            let hub = hub(&broker);
            let mut client = Client::open(&hub, from_snapshot(Until::End));
            client.read_to_end();
            let mut state = State::new();
            let sent = apply_all(&mut state, &client.lines);
            prop_assert_eq!(&state, &fold(&history, |_| Offset::MAX));
            prop_assert_eq!(sent.values().map(Vec::len).sum::<usize>(), state.len(), "one record for each key");
            let live = format!("live {} ", state.len());
            prop_assert!(client.lines[state.len()].starts_with(&live), "{:?}", client.lines);
        }
    }

    #[test]
    fn a_client_cut_at_any_id_after_a_snapshot_has_the_state_of_the_log(steps in steps()) {
        let broker = MemoryBroker::new();
        broker.create("t", PARTITIONS);
        let hub = hub(&broker);
        let (mut history, mut clients, mut is_compacted) = (History::new(), Vec::new(), false);
        for step in steps.into_iter().chain([CutStep::Open]) {
            match step {
                CutStep::Append(given) => append(&broker, &mut history, given),
                CutStep::Compact(partition) => {
                    broker.compact("t", partition, Tombstones::Kept);
                    is_compacted = true;
                }
                CutStep::Open => {
                    let mut client = Client::open(&hub, from_snapshot(Until::Forever));
                    client.until("live ");
                    let live = live_line(&client.lines);
                    let cut = cut(&client.lines[live]);
                    let mut state = State::new();
                    apply_all(&mut state, &client.lines[..live]);
                    for (place, latest) in fold(&history, |partition| cut[&partition]) {
                        // Compaction may have removed a record whose key has a later one after the snapshot.
                        let follows = |(partition, offset, key, _): &(Partition, Offset, String, String)| {
                            (*partition, key) == (place.0, &place.1) && *offset >= cut[partition]
                        };
                        let found = state.remove(&place);
                        let is_replaced = found.is_none() && is_compacted && history.iter().any(follows);
                        prop_assert!(is_replaced || found.as_ref() == Some(&latest), "{place:?}: {found:?}, not {latest:?}");
                    }
                    prop_assert!(state.is_empty(), "these are not the latest: {state:?}");
                    clients.push((client, cut, live));
                }
            }
        }
        for partition in 0..PARTITIONS {
            append(&broker, &mut history, (partition, Some(100), Some(1)));
        }
        let end = fold(&history, |_| Offset::MAX);
        for (client, cut, live) in &mut clients {
            for (partition, offset, ..) in &history[history.len() - PARTITIONS..] {
                client.until(&format!("record t/{partition}@{offset} "));
            }
            let mut state = State::new();
            apply_all(&mut state, &client.lines[..*live]);
            let offsets = apply_all(&mut state, &client.lines[*live..]);
            check_continuation(&broker, cut, &offsets)?;
            prop_assert_eq!(&state, &end);
        }
        let (client, _, live) = &clients[0];
        for at in *live..client.lines.len() {
            let line = &client.lines[at];
            let mut state = State::new();
            apply_all(&mut state, &client.lines[..=at]);
            let id = line.rsplit(' ').next().unwrap();
            let mut resumed = Client::open(&hub, snapshot(resume(&["t"], id).start, Until::End));
            resumed.read_to_end();
            prop_assert!(!resumed.lines.iter().any(|line| line.starts_with("live ")), "{:?}", resumed.lines);
            let offsets = apply_all(&mut state, &resumed.lines);
            check_continuation(&broker, &cut(line), &offsets)?;
            prop_assert_eq!(&state, &end, "after {}", line);
        }
        // Compaction without tombstones leaves the same state.
        (0..PARTITIONS).for_each(|partition| broker.compact("t", partition, Tombstones::Removed));
        let hub = crate::hub::hub(&broker);
        let mut client = Client::open(&hub, from_snapshot(Until::End));
        client.read_to_end();
        let mut state = State::new();
        apply_all(&mut state, &client.lines);
        prop_assert_eq!(state, end);
    }
}
