//! Resource usage of this process: memory, file descriptors, CPU time (Linux, proc(5)).

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// The values of Prometheus' standard process metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Start time in seconds since the epoch.
    pub started: f64,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Virtual memory in bytes.
    pub virtual_memory: u64,
    /// CPU time in seconds, user and system.
    pub cpu: f64,
    /// Number of threads.
    pub threads: u64,
    /// Open file descriptors, connections among them.
    pub open_files: u64,
    /// The limit of open file descriptors. `None`: unlimited.
    pub max_files: Option<u64>,
}

/// Reads the current usage. Fails where `/proc` is missing or not readable.
pub fn usage() -> io::Result<Usage> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field, the name in parentheses, may contain spaces and parentheses. The third field follows its last ')'.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let field = |number: usize| -> io::Result<u64> {
        let text = fields.get(number - 3).and_then(|text| text.parse().ok());
        text.ok_or_else(|| io::Error::other("unexpected format of /proc/self/stat"))
    };
    let ticks = clock_ticks_per_second() as f64;
    Ok(Usage {
        started: boot_time() + field(22)? as f64 / ticks,
        resident: field(24)? * page_size() as u64,
        virtual_memory: field(23)?,
        cpu: (field(14)? + field(15)?) as f64 / ticks,
        threads: field(20)?,
        // One of them is open only to read this directory.
        open_files: (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1),
        max_files: getrlimit(Resource::Nofile).current,
    })
}

/// Returns the boot time in seconds since the epoch. Computes it from clocks, because systemd's `ProcSubset=pid` hides
/// /proc/stat.
fn boot_time() -> f64 {
    let uptime = clock_gettime(ClockId::Boottime);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    now - (uptime.tv_sec as f64 + uptime.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn usage_reflects_open_files_and_allocated_memory() {
        let before = usage().unwrap();
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let memory = vec![1u8; 64 << 20];
        let after = usage().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(after.started <= now && now - after.started < 3600.0, "{after:?}");
        assert!((after.started - before.started).abs() < 1.0, "{before:?} {after:?}");
        assert!(after.open_files >= 10 && after.threads >= 1, "{after:?}");
        assert!(after.max_files.is_none_or(|most| most > after.open_files), "{after:?}");
        assert!(after.resident >= 64 << 20 && after.virtual_memory > after.resident, "{after:?}");
        drop((files, memory));
    }
}
