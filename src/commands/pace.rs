//! The rate and the remaining time of a command, for its line on the terminal.

use std::fmt;
use std::time::Duration;

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub records: u64,
    pub elapsed: Duration,
    /// The part that is done, and the whole, in bytes or records; `None` if the end is unknown.
    pub part: Option<(u64, u64)>,
}

impl Pace {
    /// The records per second.
    fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    fn remaining(&self) -> Option<Duration> {
        let (done, whole) = self.part.filter(|(done, whole)| (1..=*whole).contains(done))?;
        let seconds = self.elapsed.as_secs_f64() * (whole - done) as f64 / done as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} records/s", self.rate())?;
        let Some(remaining) = self.remaining() else { return Ok(()) };
        let seconds = remaining.as_secs_f64().ceil() as u64;
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, ", {seconds} s left"),
            (0, minutes, seconds) => write!(f, ", {minutes} min {seconds} s left"),
            (hours, minutes, _) => write!(f, ", {hours} h {minutes} min left"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_remaining_time_follow_from_what_is_done() {
        let shown = |records, seconds, part| Pace { records, elapsed: Duration::from_secs(seconds), part }.to_string();
        assert_eq!(shown(100, 10, None), "10 records/s");
        assert_eq!(shown(100, 10, Some((1, 4))), "10 records/s, 30 s left");
        assert_eq!(shown(100, 10, Some((1, 10))), "10 records/s, 1 min 30 s left");
        assert_eq!(shown(100, 10, Some((1, 1_000))), "10 records/s, 2 h 46 min left");
        assert_eq!(shown(100, 10, Some((4, 4))), "10 records/s, 0 s left");
        for unknown in [(0, 4), (5, 4), (0, 0)] {
            assert_eq!(shown(100, 10, Some(unknown)), "10 records/s", "{unknown:?}");
        }
        assert_eq!(shown(0, 0, Some((1, u64::MAX))), "0 records/s, 0 s left");
    }
}
