#![allow(clippy::unwrap_used)]

use super::digits::DIGITS;
use super::*;
use crate::record::{Epoch, NO_EPOCH};
use proptest::prelude::*;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn at(next: Offset, epoch: Epoch) -> Position {
    Position { next, epoch }
}

fn cursor_of(positions: &[(&str, &[Offset])]) -> Cursor {
    let mut cursor = Cursor::new(positions.iter().map(|(name, _)| topic(name)).collect(), Selection::All);
    for (name, offsets) in positions {
        let index = cursor.topic_index(&topic(name)).unwrap();
        cursor.set_id(index, IdTag::of(Some(uuid::Uuid::from_u128(7))));
        offsets.iter().for_each(|offset| cursor.add_position(index, *offset));
    }
    cursor
}

fn names(cursor: &Cursor) -> Vec<TopicName> {
    cursor.topics().iter().map(|t| t.name.clone()).collect()
}

#[test]
fn twelve_partitions_with_large_offsets_fit_128_bytes_however_they_are_spread() {
    const MOST: Offset = 999_999_999;
    let one_topic = cursor_of(&[("t", &[MOST; 12])]);
    let names: Vec<String> = (0..12).map(|n| format!("topic-{n}")).collect();
    let twelve: Vec<(&str, &[Offset])> = names.iter().map(|name| (name.as_str(), &[MOST][..])).collect();
    for mut cursor in [one_topic, cursor_of(&twelve)] {
        let text = cursor.text();
        assert!(text.len() <= 128, "{} bytes: {text}", text.len());
    }
}

#[test]
fn twelve_partitions_of_the_embedded_log_fit_128_bytes_while_its_epoch_changes() {
    let mut cursor = Cursor::new((0..12).map(|n| topic(&format!("topic-{n}"))).collect(), Selection::All);
    for index in 0..12 {
        let epoch = [(1 << 52) - 1, (1 << 52) - 12345][index % 2];
        cursor.add_position(index, at(999_999_999, epoch));
    }
    let text = cursor.text();
    assert!(text.len() <= 128, "{} bytes: {text}", text.len());
}

type TopicOffsets = &'static [(&'static str, &'static [Offset])];

const VERSION_0: [(&str, TopicOffsets); 5] = [
    ("BHBzuv4BBAaTS2", &[("t", &[0])]),
    ("FHBzuv4BDAAAAqAAAAR7msn_GqGL", &[("t", &[42, 17, 999_999_999])]),
    ("L6y5uv4BAuv4BBH__________bN_z", &[("a", &[]), ("b", &[Offset::MAX])]),
    (
        "BypCuv4BBBuv4BBCuv4BBDuv4BBEuv4BBFuv4BBGuv4BBHuv4BBIuv4BBJbo_g",
        &[
            ("t0", &[1]),
            ("t1", &[2]),
            ("t2", &[3]),
            ("t3", &[4]),
            ("t4", &[5]),
            ("t5", &[6]),
            ("t6", &[7]),
            ("t7", &[8]),
            ("t8", &[9]),
        ],
    ),
    ("BPXpuv4BoBFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFQyL5", &[("wide", &[5; 40])]),
];

/// Written by earlier versions of Curlew: an SSE id that a client has stored stays valid forever.
#[test]
fn a_cursor_of_version_0_is_read_without_epochs() {
    let id = IdTag::of(Some(uuid::Uuid::from_u128(7)));
    for (text, positions) in VERSION_0 {
        let names = positions.iter().map(|(name, _)| topic(name)).collect();
        let cursor = Cursor::parse(text, names, Selection::All).unwrap();
        for (index, (name, offsets)) in positions.iter().enumerate() {
            assert_eq!(cursor.topics()[index].name.as_str(), *name);
            assert_eq!(cursor.topics()[index].id, cursor.fit(id));
            let expected: Vec<_> = offsets.iter().map(|next| Position::from(*next)).collect();
            assert_eq!(cursor.topics()[index].positions, expected);
        }
    }
}

#[test]
fn a_cursor_of_a_later_version_is_not_called_damaged() {
    let mut text = "-AAAA".to_owned();
    digits::push_check(&mut text);
    assert_eq!(Cursor::parse(&text, vec![topic("t")], Selection::All), Err(CursorError::Version));
}

#[test]
fn a_forged_count_allocates_nothing() {
    let cursor = Cursor::new(vec![topic("t")], Selection::All);
    let mut text = String::new();
    digits::push_number(&mut text, 16 + 1, 1);
    digits::push_number(&mut text, cursor.names_hash(), 3);
    let mut packer = packed::Packer::new(&mut text);
    [(0, 6), (0, 6), (1, 24), (100_000, 17)].into_iter().for_each(|(number, bits)| packer.push(number, bits));
    packer.finish();
    digits::push_check(&mut text);
    assert_eq!(Cursor::parse(&text, vec![topic("t")], Selection::All), Err(CursorError::Damaged));
}

#[test]
fn a_cursor_of_other_topics_or_partitions_is_not_called_damaged() {
    let text = cursor_of(&[("a", &[1, 2])]).text().to_owned();
    let read = |topics: &[&str], selection| Cursor::parse(&text, topics.iter().map(|t| topic(t)).collect(), selection);
    assert!(read(&["a"], Selection::All).is_ok());
    assert_eq!(read(&["b"], Selection::All), Err(CursorError::OtherStream));
    assert_eq!(read(&["a", "b"], Selection::All), Err(CursorError::OtherStream));
    assert_eq!(read(&["a"], Selection::of(vec![1])), Err(CursorError::OtherStream));
    for damaged in ["", "x", "AAAAAAAA", &text[1..], &text[..text.len() - 1], "Grüße an alle"] {
        assert_eq!(Cursor::parse(damaged, vec![topic("a")], Selection::All), Err(CursorError::Damaged), "{damaged:?}");
        assert!(!Cursor::is_well_formed(damaged), "{damaged:?}");
    }
    assert!(Cursor::is_well_formed(&text));
}

#[test]
fn a_selection_ignores_other_partitions() {
    let mut cursor = Cursor::new(vec![topic("t")], Selection::of(vec![5, 2, 5]));
    assert_eq!(cursor.next_partition(0), Some(2));
    cursor.add_position(0, 20);
    assert_eq!(cursor.next_partition(0), Some(5));
    cursor.add_position(0, 50);
    assert_eq!(cursor.next_partition(0), None);
    cursor.set(0, 5, at(51, 3));
    cursor.set(0, 3, at(99, 3));
    assert_eq!(cursor.offsets(0).collect::<Vec<_>>(), [(2, 20), (5, 51)]);
    let text = cursor.text().to_owned();
    assert_eq!(Cursor::parse(&text, vec![topic("t")], Selection::of(vec![2, 5])).unwrap(), cursor);
}

#[test]
fn a_recreated_topic_has_another_tag_and_an_unknown_id_matches_every_tag() {
    let (one, other) = (IdTag::of(Some(uuid::Uuid::from_u128(1))), IdTag::of(Some(uuid::Uuid::from_u128(2))));
    assert!(one.differs(other));
    assert!(!one.differs(one));
    assert!(!one.differs(IdTag::of(None)) && !IdTag::of(None).differs(one));
}

fn arbitrary() -> impl Strategy<Value = Cursor> {
    let offset = prop_oneof![0..100i64, 0..1_000_000_000i64, 0..=Offset::MAX];
    let epochs =
        prop_oneof![Just(NO_EPOCH..=NO_EPOCH), Just(NO_EPOCH..=3), Just(0..=8_190), Just(1 << 52..=(1 << 52) + 2)];
    let positions = epochs.prop_flat_map(move |epochs| {
        prop::collection::vec((offset.clone(), epochs).prop_map(|(next, epoch)| at(next, epoch)), 0..40)
    });
    let topics = prop::collection::btree_map("[a-zA-Z0-9._-]{1,20}", (positions, any::<u128>()), 1..12);
    topics.prop_filter_map("not a topic name", |topics| {
        let names: Option<Vec<_>> = topics.keys().map(|name| TopicName::new(name).ok()).collect();
        let mut cursor = Cursor::new(names?, Selection::All);
        for (index, (positions, id)) in topics.into_values().enumerate() {
            cursor.set_id(index, IdTag::of(Some(uuid::Uuid::from_u128(id))));
            positions.into_iter().for_each(|position| cursor.add_position(index, position));
        }
        Some(cursor)
    })
}

proptest! {
    #[test]
    fn twelve_partitions_with_epochs_below_8191_fit_128_bytes(
        positions in prop::collection::vec((0..1_000_000_000i64, -1..=8_190i64), 12),
        topics in 1..=12usize,
    ) {
        let names = (0..topics).map(|n| topic(&format!("topic-{n}"))).collect();
        let mut cursor = Cursor::new(names, Selection::All);
        for (index, (next, epoch)) in positions.into_iter().enumerate() {
            cursor.add_position(index % topics, at(next, epoch));
        }
        prop_assume!(12 % topics == 0);
        let text = cursor.text();
        prop_assert!(text.len() <= 128, "{} bytes: {}", text.len(), text);
    }

    #[test]
    fn a_written_cursor_is_read_back(mut cursor in arbitrary()) {
        let text = cursor.text().to_owned();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')));
        prop_assert_eq!(Cursor::parse(&text, names(&cursor), Selection::All), Ok(cursor));
    }

    #[test]
    fn a_moved_cursor_is_read_back(
        mut cursor in arbitrary(),
        moves in prop::collection::vec((any::<prop::sample::Index>(), 0..45i32, 0..=Offset::MAX, -1..3i64, any::<bool>()), 0..30),
    ) {
        for (topic, partition, next, epoch, look) in moves {
            let topic = topic.index(cursor.topics().len());
            cursor.set(topic, partition, at(next, epoch));
            if look {
                let text = cursor.text().to_owned();
                prop_assert_eq!(Cursor::parse(&text, names(&cursor), Selection::All), Ok(cursor.clone()));
            }
        }
    }

    #[test]
    fn a_changed_digit_is_detected(mut cursor in arbitrary(), at in any::<prop::sample::Index>(), to in 0..64usize) {
        let text = cursor.text().to_owned();
        let mut damaged = text.clone().into_bytes();
        let at = at.index(damaged.len());
        prop_assume!(damaged[at] != DIGITS[to]);
        damaged[at] = DIGITS[to];
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assert_eq!(Cursor::parse(&damaged, names(&cursor), Selection::All), Err(CursorError::Damaged));
    }

    #[test]
    fn parsing_any_text_never_panics(text in "\\PC{0,200}") {
        let _ = Cursor::parse(&text, vec![topic("t")], Selection::All);
    }
}
