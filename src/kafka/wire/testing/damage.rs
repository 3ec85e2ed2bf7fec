//! Damages valid bytes, for property tests of code that reads bytes from outside.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
enum Edit {
    Change(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Double(Index, Index),
    /// Appends the end of another example from the corpus.
    Splice(Index, Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, with)| Edit::Change(at, with)),
        (at(), at()).prop_map(|(from, to)| Edit::Cut(from, to)),
        (at(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), at()).prop_map(|(from, to)| Edit::Double(from, to)),
        (at(), at(), at()).prop_map(|(which, from, at)| Edit::Splice(which, from, at)),
    ]
}

/// Returns an example of the corpus with up to four edits.
pub fn damaged(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(edit(), 0..5)).prop_map(move |(which, edits)| {
        let mut bytes = which.get(&corpus).clone();
        edits.into_iter().for_each(|edit| apply(&mut bytes, edit, &corpus));
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, edit: Edit, corpus: &[Vec<u8>]) {
    let index_in = |at: Index, len: usize| at.index(len + 1);
    let range = |from: Index, to: Index, len: usize| {
        let (from, to) = (index_in(from, len), index_in(to, len));
        from.min(to)..from.max(to)
    };
    match edit {
        Edit::Change(at, with) => {
            let at = index_in(at, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
        }
        Edit::Cut(from, to) => drop(bytes.drain(range(from, to, bytes.len()))),
        Edit::Insert(at, new) => {
            let at = index_in(at, bytes.len());
            bytes.splice(at..at, new);
        }
        Edit::Double(from, to) => {
            let range = range(from, to, bytes.len());
            let (at, again) = (range.end, bytes[range].to_vec());
            bytes.splice(at..at, again);
        }
        Edit::Splice(which, from, at) => {
            let other = which.get(corpus);
            bytes.truncate(index_in(at, bytes.len()));
            bytes.extend_from_slice(&other[index_in(from, other.len())..]);
        }
    }
}
