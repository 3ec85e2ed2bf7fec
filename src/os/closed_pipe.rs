//! Notices that the reader of a pipe has closed it, without writing to it.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Blocks until nobody reads `output` any more: for ever, if it is a file.
pub fn wait_until_closed(output: &impl AsFd) {
    loop {
        // Errors and hang-ups are reported without being asked for.
        let mut polled = [PollFd::new(output, PollFlags::empty())];
        match poll(&mut polled, None) {
            Ok(0) | Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) => return,
            Err(_) => std::thread::park(),
        }
    }
}
