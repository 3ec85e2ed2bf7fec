#![allow(clippy::unwrap_used)]

use super::*;
use crate::damage::damaged;
use proptest::prelude::*;
use std::io::Write;

/// More than any of the frames holds, and little enough that many cases cost no memory.
const MAX: usize = 1 << 20;
const TEXT: &[u8] = b"a text, a text, a longer text, and then once more a text \xff\x00";

/// Frames of a codec: of nothing, of little, of much that is the same.
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
fn the_frames_of_the_corpus_are_right() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let sizes: Vec<_> = frames(codec).iter().map(|frame| codec.decompress(frame, MAX).unwrap().len()).collect();
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&0), Some(&(2000 * TEXT.len()))), "{codec:?}");
    }
}

proptest! {
    #[test]
    fn damage_to_a_frame_costs_no_more_than_is_allowed(
        (codec, bytes) in codecs().prop_flat_map(|codec| (Just(codec), damaged(frames(codec)))),
        max in 0..MAX,
    ) {
        if let Ok(whole) = codec.decompress(&bytes, max) {
            prop_assert!(whole.len() <= max);
        }
    }

    #[test]
    fn no_bytes_of_any_codec_cost_more_than_is_allowed(codec in codecs(), bytes: Vec<u8>, max in 0..1000usize) {
        if let Ok(whole) = codec.decompress(&bytes, max) {
            prop_assert!(whole.len() <= max);
        }
    }
}
