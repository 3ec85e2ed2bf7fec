#![allow(clippy::unwrap_used)]

use super::*;
use crate::kafka::wire::testing::damage::damaged;
use proptest::prelude::*;
use std::io::Write;

/// More than any frame decompresses to, and small enough for many cases.
const MAX: usize = 1 << 20;
const TEXT: &[u8] = b"a text, a text, a longer text, and then once more a text \xff\x00";

fn memory(most: usize) -> Arc<Share> {
    Share::new("test", most, most)
}

/// Returns frames of a codec: empty, small, and highly compressible.
fn frames(codec: Codec) -> Vec<Vec<u8>> {
    let much = TEXT.repeat(2000);
    [&b""[..], TEXT, &much].into_iter().flat_map(|bytes| compressed(codec, bytes)).collect()
}

fn compressed(codec: Codec, bytes: &[u8]) -> Vec<Vec<u8>> {
    match codec {
        Codec::None => vec![bytes.to_vec()],
        Codec::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(bytes).unwrap();
            vec![gzip.finish().unwrap()]
        }
        Codec::Snappy => {
            let block = snap::raw::Encoder::new().compress_vec(bytes).unwrap();
            let length = u32::try_from(block.len()).unwrap().to_be_bytes();
            let xerial = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &length, &block].concat();
            vec![block, xerial]
        }
        Codec::Lz4 => {
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(bytes).unwrap();
            vec![lz4.finish().unwrap()]
        }
        Codec::Zstd => {
            vec![ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)]
        }
    }
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Gzip), Just(Codec::Snappy), Just(Codec::Lz4), Just(Codec::Zstd)]
}

#[test]
fn the_frames_of_the_corpus_are_valid() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let sizes: Vec<_> =
            frames(codec).iter().map(|frame| codec.decompress(frame, &memory(MAX)).unwrap().len()).collect();
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&0), Some(&(2000 * TEXT.len()))), "{codec:?}");
    }
}

proptest! {
    #[test]
    fn a_damaged_frame_stays_within_the_budget(
        (codec, bytes) in codecs().prop_flat_map(|codec| (Just(codec), damaged(frames(codec)))),
        max in 0..MAX,
    ) {
        if let Ok(output) = codec.decompress(&bytes, &memory(max)) {
            prop_assert!(output.len() <= max);
        }
    }

    #[test]
    fn random_bytes_stay_within_the_budget(codec in codecs(), bytes: Vec<u8>, max in 0..1000usize) {
        if let Ok(output) = codec.decompress(&bytes, &memory(max)) {
            prop_assert!(output.len() <= max);
        }
    }
}

#[test]
fn output_is_charged_before_it_is_allocated_and_until_it_is_dropped() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        for frame in compressed(codec, &vec![0; 300 << 10]) {
            let memory = memory(MAX);
            let output = codec.decompress(&frame, &memory).unwrap();
            let used = memory.used();
            assert!((output.len()..=output.len() + output.len() / 8).contains(&used), "{codec:?}: {used}");
            let part = output.slice(..1);
            drop(output);
            assert_eq!(memory.used(), used, "{codec:?}");
            drop(part);
            assert_eq!(memory.used(), 0, "{codec:?}");
        }
        let bomb = compressed(codec, &vec![0; 3 * MAX]).remove(0);
        let memory = Share::new("test", 2 * MAX, MAX);
        let refused = codec.decompress(&bomb, &memory);
        assert_eq!(refused, Err(Shortage::Always { largest: MAX }.into()), "{codec:?}");
        let _others = memory.reserve(MAX).unwrap();
        let _more = memory.reserve(MAX - 1000).unwrap();
        let later = codec.decompress(&compressed(codec, &vec![0; MAX / 2]).remove(0), &memory);
        assert_eq!(later, Err(Shortage::Now.into()), "{codec:?}");
    }
}

#[test]
fn the_zstd_window_is_read_from_the_frame_header() {
    let head = |rest: &[u8]| [&0xfd2f_b528u32.to_le_bytes()[..], rest].concat();
    for (frame, window) in [
        (head(&[0x00, 0x58]), Some(2 << 20)),
        (head(&[0x00, 0x59]), Some((2 << 20) + (2 << 20) / 8)),
        (head(&[0x20, 7]), Some(7)),
        (head(&[0x60, 1, 0]), Some(257)),
        (head(&[0xa1, 9, 0, 0, 16, 0]), Some(1 << 20)),
        (head(&[0xe0, 0, 0, 0, 0, 1, 0, 0, 0]), Some(1 << 32)),
        (head(&[0x00]), None),
        (head(&[]), None),
    ] {
        assert_eq!(zstd_window(&frame), window, "{frame:?}");
    }
}
