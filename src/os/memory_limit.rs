//! The memory available to this process (Linux): the smallest limit of its control groups and the machine.

use std::fs;
use std::path::Path;

/// Returns the limit in bytes. `None`: the system does not report one.
pub fn of_process() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_mem_total(&text));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&group).into_iter().filter_map(|file| parse_limit(&fs::read_to_string(file).ok()?));
    limits.chain(machine).min()
}

/// Parses `MemTotal:       16316412 kB` of `/proc/meminfo`.
fn parse_mem_total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// Parses a limit file. Without a limit, cgroup v2 has `max`, which returns `None`, and cgroup v1 a number larger than the memory
/// of any machine.
fn parse_limit(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

/// Lists the limit files of the groups in `/proc/self/cgroup` and of all their ancestors.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            v1 if v1.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be relative to the host's root, which is not mounted. Its last ancestor is the mounted root.
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
    fn limits_are_found_in_cgroup_v1_and_v2() {
        let v2 = limit_files("0::/system.slice/curlew.service\n");
        let expected = [
            "/sys/fs/cgroup/system.slice/curlew.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(v2, expected);
        let v1 = limit_files("5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\nbroken\n");
        assert_eq!(v1[0], "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes");
        assert_eq!(v1.len(), 3);
        assert_eq!((parse_limit("max\n"), parse_limit("268435456\n")), (None, Some(256 << 20)));
        assert_eq!(parse_mem_total("MemFree: 1 kB\nMemTotal:       16316412 kB\n"), Some(16316412 * 1024));
    }
}
