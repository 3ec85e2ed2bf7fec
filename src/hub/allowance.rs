//! What streams hold for their clients that nobody shares, beyond a small chunk each: bounded over all of them, so that
//! a thousand clients that take nothing cost a thousand small chunks and not much more.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What any stream may hold, whatever the others do.
pub const SMALL: usize = 16 << 10;

/// How much the next chunk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As large as is good for the speed, and before the client has taken the last one.
    Ahead,
    /// Small, once the client has taken the last one.
    Small,
    /// Single records larger than a small chunk have filled even the reserve: some client must take one first, or be
    /// closed for taking nothing.
    None,
}

/// Counts what chunks have beyond [`SMALL`], until the last of their bytes is dropped.
#[derive(Debug)]
pub struct Allowance {
    held: AtomicUsize,
    most: usize,
}

impl Allowance {
    /// `most`: bytes beyond [`SMALL`] that chunks may have together before streams get small ones. With records larger
    /// than those it may become twice as many, and what is under way.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// Bytes beyond [`SMALL`] that chunks have now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub fn room(&self) -> Room {
        match self.held.load(Ordering::Relaxed) {
            held if held < self.most => Room::Ahead,
            held if held < 2 * self.most => Room::Small,
            _ => Room::None,
        }
    }

    /// Frames for one client, which nobody else shares.
    pub fn hold(self: &Arc<Self>, mut frames: Vec<u8>) -> Bytes {
        frames.shrink_to_fit();
        if frames.len() <= SMALL {
            return frames.into();
        }
        self.held.fetch_add(excess(&frames), Ordering::Relaxed);
        Bytes::from_owner(Held { frames, of: self.clone() })
    }
}

fn excess(frames: &[u8]) -> usize {
    frames.len().saturating_sub(SMALL)
}

struct Held {
    frames: Vec<u8>,
    of: Arc<Allowance>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.held.fetch_sub(excess(&self.frames), Ordering::Relaxed);
    }
}
