#![allow(clippy::unwrap_used)]

use super::*;
use crate::http::shutdown::Shutdown;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::convert::Infallible;
use std::io::Write;
use warp::http::HeaderValue;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(settings: &Settings, encoding: &str, body: &[u8], chunk: usize) -> Result<(Bytes, BodyMemory), Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
    let chunks: Vec<_> = body.chunks(chunk.max(1)).map(|c| Ok::<_, Infallible>(Bytes::copy_from_slice(c))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let body = BodyReader::new(futures_util::stream::iter(chunks), &headers, &settings.bodies)?;
        body.read_all(settings, &headers, &mut Shutdown::new().end_of_body()).await
    })
}

fn status(problem: &Problem) -> u32 {
    problem.error_code()
}

#[test]
fn only_gzip_and_identity_are_accepted() {
    let settings = Settings::default();
    for (encoding, expected) in
        [("", None), ("identity", None), ("GZIP", None), ("br", Some(415)), ("gzip, gzip", Some(415)), ("x", Some(415))]
    {
        let body = if encoding.eq_ignore_ascii_case("gzip") { gzip(b"hello") } else { b"hello".to_vec() };
        let read = read(&settings, encoding, &body, 4);
        assert_eq!(read.as_ref().err().map(status), expected, "{encoding}");
        if let Ok((body, _)) = read {
            assert_eq!(&body[..], b"hello", "{encoding}");
        }
    }
}

#[test]
fn a_decompression_bomb_stops_at_the_maximum_body_size() {
    let settings = Settings { max_body: 1 << 20, ..Settings::default() };
    let bomb = gzip(&vec![0; 200 << 20]);
    assert!(bomb.len() < 300 << 10, "{}", bomb.len());
    let problem = read(&settings, "gzip", &bomb, 16 << 10).map(drop).unwrap_err();
    assert_eq!(status(&problem), 413);
    assert!(problem.detail().contains("--max-body"), "{}", problem.detail());
    assert_eq!(in_use(&settings), 0);
    // Exactly the allowed size.
    let (body, _) = read(&settings, "gzip", &gzip(&vec![7; 1 << 20]), 1000).unwrap();
    assert_eq!(body.len(), 1 << 20);
}

#[test]
fn invalid_or_truncated_gzip_is_rejected() {
    let settings = Settings::default();
    let complete = gzip(b"hello, hello, hello");
    let mut damaged = complete.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    for body in [
        &b"plain text"[..],
        &complete[..complete.len() - 3],
        &complete[..5],
        &damaged,
        b"",
        &[&complete[..], b"more"].concat(),
    ] {
        let problem = read(&settings, "gzip", body, 7).map(drop).unwrap_err();
        assert_eq!(status(&problem), 400, "{body:?}");
        assert!(problem.detail().contains("not gzip"), "{}", problem.detail());
    }
}

#[test]
fn large_bodies_share_a_part_of_the_budget_and_small_ones_another() {
    let settings = Settings { bodies: Bodies::new(&MemoryBudget::new(4 << 20)), ..Settings::default() };
    let large = vec![b'x'; 700 << 10];
    let (_, held) = read(&settings, "", &large, 16 << 10).unwrap();
    let problem = read(&settings, "", &large, 16 << 10).map(drop).unwrap_err();
    assert_eq!(status(&problem), 503);
    assert!(problem.detail().contains("--memory-budget"), "{}", problem.detail());
    read(&settings, "", &large[..SMALL], 1000).unwrap();
    drop(held);
    read(&settings, "", &large, 16 << 10).unwrap();
    assert_eq!(in_use(&settings), 0);
}

#[test]
fn many_incomplete_bodies_are_rejected_but_not_single_measurements() {
    let settings = Settings { bodies: Bodies::new(&MemoryBudget::new(4 << 20)), ..Settings::default() };
    let small = vec![b'x'; SMALL];
    let mut held = Vec::new();
    let problem = loop {
        match read(&settings, "", &small, 16 << 10) {
            Ok(body) => held.push(body),
            Err(problem) => break problem,
        }
    };
    assert_eq!((status(&problem), held.len()), (503, 4));
    read(&settings, "", &small[..EXEMPT], 1000).unwrap();
}

fn in_use(settings: &Settings) -> usize {
    settings.bodies.small.used() + settings.bodies.large.used()
}

#[test]
fn a_trickling_body_is_ended() {
    let settings = Settings { body_timeout: Duration::from_millis(50), ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let problem = runtime.block_on(async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        });
        let body = BodyReader::new(Box::pin(drops), &HeaderMap::new(), &settings.bodies)?;
        body.read_all(&settings, &HeaderMap::new(), &mut Shutdown::new().end_of_body()).await
    });
    let problem = problem.map(drop).unwrap_err();
    assert_eq!(status(&problem), 408);
    assert!(problem.detail().contains("--body-timeout"), "{}", problem.detail());
}

proptest! {
    #[test]
    fn gzip_is_decompressed_regardless_of_its_chunks(
        bytes in prop::collection::vec(0..4u8, 0..5000), split in 0..5000usize, chunk in 1..600usize
    ) {
        let split = split.min(bytes.len());
        // Two members, like the output of `cat a.gz b.gz`.
        let packed = [gzip(&bytes[..split]), gzip(&bytes[split..])].concat();
        let (read, _) = read(&Settings::default(), "gzip", &packed, chunk).unwrap();
        prop_assert_eq!(&read[..], &bytes[..]);
    }

    #[test]
    fn arbitrary_bytes_declared_as_gzip_terminate(body in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..100usize) {
        let _ = read(&Settings::default(), "gzip", &[&[0x1f, 0x8b, 8], &body[..]].concat(), chunk);
    }
}
