//! How much memory there is for this process (Linux): by its control group, else by the machine.

use std::fs;
use std::path::Path;

/// Bytes. `None`: the system does not say.
pub fn of_process() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files_of(&group).into_iter().filter_map(|file| limit_of(&fs::read_to_string(file).ok()?));
    limits.chain(machine).min()
}

/// Of `/proc/meminfo`: `MemTotal:       16316412 kB`.
fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// `max`, and version 1's huge number, are no limit: the latter is more than any machine has.
fn limit_of(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

/// Where the limits of a process's control groups are, by its `/proc/self/cgroup`: of each group and of those around it.
fn files_of(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            old if old.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be the host's, and the root is the container's own.
        for group in Path::new(path).ancestors() {
            files.push(format!("{root}{}/{name}", group.to_string_lossy().trim_end_matches('/')));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_in_both_versions_of_control_groups() {
        let new = files_of("0::/system.slice/curlew.service\n");
        let expected = [
            "/sys/fs/cgroup/system.slice/curlew.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(new, expected);
        let old = files_of("5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\nbroken\n");
        assert_eq!(old[0], "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes");
        assert_eq!(old.len(), 3);
        assert_eq!((limit_of("max\n"), limit_of("268435456\n")), (None, Some(256 << 20)));
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       16316412 kB\n"), Some(16316412 * 1024));
    }
}
