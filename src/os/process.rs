//! What the system knows of this process: memory, files, processor time (Linux, proc(5)).

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds since the epoch.
    pub started: f64,
    /// Bytes in main memory, and of address space.
    pub resident: u64,
    pub virtual_memory: u64,
    /// Seconds of processor time.
    pub cpu: f64,
    pub threads: u64,
    /// Open files, connections among them, and how many are allowed; `None`: as many as you like.
    pub open_files: u64,
    pub max_files: Option<u64>,
}

/// An error where the system is not Linux, or hides it.
pub fn usage() -> io::Result<Usage> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field is a name that may hold anything, in brackets; the next one is the third.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let field = |number: usize| -> io::Result<u64> {
        let text = fields.get(number - 3).and_then(|text| text.parse().ok());
        text.ok_or_else(|| io::Error::other("/proc/self/stat is not as it should be"))
    };
    let ticks = clock_ticks_per_second() as f64;
    Ok(Usage {
        started: booted() + field(22)? as f64 / ticks,
        resident: field(24)? * page_size() as u64,
        virtual_memory: field(23)?,
        cpu: (field(14)? + field(15)?) as f64 / ticks,
        threads: field(20)?,
        // One of them is the folder itself.
        open_files: (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1),
        max_files: getrlimit(Resource::Nofile).current,
    })
}

/// When the system was started, in seconds since the epoch. By the clock, since /proc may show nothing but processes
/// (`ProcSubset=pid` in the unit).
fn booted() -> f64 {
    let since = clock_gettime(ClockId::Boottime);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    now - (since.tv_sec as f64 + since.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_this_test_is_possible() {
        let before = usage().unwrap();
        let held: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let memory = vec![1u8; 64 << 20];
        let after = usage().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(after.started <= now && now - after.started < 3600.0, "{after:?}");
        assert!((after.started - before.started).abs() < 1.0, "{before:?} {after:?}");
        assert!(after.open_files >= 10 && after.threads >= 1, "{after:?}");
        assert!(after.max_files.is_none_or(|most| most > after.open_files), "{after:?}");
        assert!(after.resident >= 64 << 20 && after.virtual_memory > after.resident, "{after:?}");
        drop((held, memory));
    }
}
