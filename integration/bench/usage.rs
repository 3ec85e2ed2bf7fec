//! Resource usage of processes, from `/proc`.

/// Returns the CPU seconds that the process has used.
pub fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    // The fields after the name in parentheses. User and system time are fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

/// Returns the resident memory of the process in bytes.
pub fn resident(process: u32) -> f64 {
    status(process, "VmRSS:")
}

/// Returns the peak resident memory of the process in bytes.
pub fn peak(process: u32) -> f64 {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().next().expect("kB").parse::<f64>().expect("number") * 1024.0
}

/// Returns the child processes.
pub fn children(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("children");
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
