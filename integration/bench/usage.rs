//! What a process takes of the machine, by `/proc`.

/// Seconds of CPU that the process has used.
pub fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    // After the name in brackets; user and system time are the 14th and 15th of all, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

/// Bytes of memory that the process holds.
pub fn resident(process: u32) -> f64 {
    status(process, "VmRSS:")
}

/// The most that it has held.
pub fn peak(process: u32) -> f64 {
    status(process, "VmHWM:")
}

fn status(process: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().next().expect("kB").parse::<f64>().expect("number") * 1024.0
}

/// The processes that it has started.
pub fn children(process: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).expect("children");
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
