#![allow(clippy::unwrap_used)]

use super::digits::DIGITS;
use super::*;
use proptest::prelude::*;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn cursor_of(places: &[(&str, &[Offset])]) -> Cursor {
    let mut cursor = Cursor::new(places.iter().map(|(name, _)| topic(name)).collect(), Selection::All);
    for (name, offsets) in places {
        let index = cursor.topic_index(&topic(name)).unwrap();
        cursor.set_id(index, IdTag::of(Some(uuid::Uuid::from_u128(7))));
        offsets.iter().for_each(|offset| cursor.add_place(index, *offset));
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
    let own: Vec<String> = (0..12).map(|n| format!("topic-{n}")).collect();
    let twelve: Vec<(&str, &[Offset])> = own.iter().map(|name| (name.as_str(), &[MOST][..])).collect();
    for mut cursor in [one_topic, cursor_of(&twelve)] {
        let text = cursor.text();
        assert!(text.len() <= 128, "{} bytes: {text}", text.len());
    }
}

#[test]
fn a_cursor_of_other_topics_or_partitions_is_told_from_a_damaged_one() {
    let text = cursor_of(&[("a", &[1, 2])]).text().to_owned();
    let read = |topics: &[&str], selection| Cursor::read(&text, topics.iter().map(|t| topic(t)).collect(), selection);
    assert!(read(&["a"], Selection::All).is_ok());
    assert_eq!(read(&["b"], Selection::All), Err(BadCursor::OtherStream));
    assert_eq!(read(&["a", "b"], Selection::All), Err(BadCursor::OtherStream));
    assert_eq!(read(&["a"], Selection::of(vec![1])), Err(BadCursor::OtherStream));
    for damaged in ["", "x", "AAAAAAAA", &text[1..], &text[..text.len() - 1], "Grüße an alle"] {
        assert_eq!(Cursor::read(damaged, vec![topic("a")], Selection::All), Err(BadCursor::Damaged), "{damaged:?}");
        assert!(!Cursor::looks_like(damaged), "{damaged:?}");
    }
    assert!(Cursor::looks_like(&text));
}

#[test]
fn a_selection_keeps_its_own_partitions_only() {
    let mut cursor = Cursor::new(vec![topic("t")], Selection::of(vec![5, 2, 5]));
    assert_eq!(cursor.next_partition(0), Some(2));
    cursor.add_place(0, 20);
    assert_eq!(cursor.next_partition(0), Some(5));
    cursor.add_place(0, 50);
    assert_eq!(cursor.next_partition(0), None);
    cursor.set(0, 5, 51);
    cursor.set(0, 3, 99);
    assert_eq!(cursor.places(0).collect::<Vec<_>>(), [(2, 20), (5, 51)]);
    let text = cursor.text().to_owned();
    assert_eq!(Cursor::read(&text, vec![topic("t")], Selection::of(vec![2, 5])).unwrap(), cursor);
}

#[test]
fn a_topic_made_anew_has_another_tag_and_an_unknown_id_differs_from_none() {
    let (one, other) = (IdTag::of(Some(uuid::Uuid::from_u128(1))), IdTag::of(Some(uuid::Uuid::from_u128(2))));
    assert!(one.differs(other));
    assert!(!one.differs(one));
    assert!(!one.differs(IdTag::of(None)) && !IdTag::of(None).differs(one));
}

fn arbitrary() -> impl Strategy<Value = Cursor> {
    let offset = prop_oneof![0..100i64, 0..1_000_000_000i64, 0..=Offset::MAX];
    let places = prop::collection::vec(offset, 0..40);
    let topics = prop::collection::btree_map("[a-zA-Z0-9._-]{1,20}", (places, any::<u128>()), 1..6);
    topics.prop_filter_map("not a topic name", |topics| {
        let names: Option<Vec<_>> = topics.keys().map(|name| TopicName::new(name).ok()).collect();
        let mut cursor = Cursor::new(names?, Selection::All);
        for (index, (places, id)) in topics.into_values().enumerate() {
            cursor.set_id(index, IdTag::of(Some(uuid::Uuid::from_u128(id))));
            places.into_iter().for_each(|place| cursor.add_place(index, place));
        }
        Some(cursor)
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(mut cursor in arbitrary()) {
        let text = cursor.text().to_owned();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')));
        prop_assert_eq!(Cursor::read(&text, names(&cursor), Selection::All), Ok(cursor));
    }

    #[test]
    fn a_cursor_that_moves_is_read_back_as_it_is(
        mut cursor in arbitrary(),
        moves in prop::collection::vec((any::<prop::sample::Index>(), 0..45i32, 0..=Offset::MAX, any::<bool>()), 0..30),
    ) {
        for (topic, partition, next, look) in moves {
            let topic = topic.index(cursor.topics().len());
            cursor.set(topic, partition, next);
            if look {
                let text = cursor.text().to_owned();
                prop_assert_eq!(Cursor::read(&text, names(&cursor), Selection::All), Ok(cursor.clone()));
            }
        }
    }

    #[test]
    fn a_changed_digit_is_noticed(mut cursor in arbitrary(), at in any::<prop::sample::Index>(), to in 0..64usize) {
        let text = cursor.text().to_owned();
        let mut damaged = text.clone().into_bytes();
        let at = at.index(damaged.len());
        prop_assume!(damaged[at] != DIGITS[to]);
        damaged[at] = DIGITS[to];
        let damaged = String::from_utf8(damaged).unwrap();
        prop_assert_eq!(Cursor::read(&damaged, names(&cursor), Selection::All), Err(BadCursor::Damaged));
    }

    #[test]
    fn any_text_is_a_cursor_or_an_error(text in "\\PC{0,200}") {
        let _ = Cursor::read(&text, vec![topic("t")], Selection::All);
    }
}
