//! CPU time and memory of processes, as Linux's `/proc` tells them. Elsewhere there is nothing to report.

use std::fs;

/// Ticks per second in `/proc/<pid>/stat`: USER_HZ, 100 on every Linux that user programs see.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds that the processes used so far, user and system; `None` when one can't be read.
pub fn cpu_seconds(pids: &[u32]) -> Option<f64> {
    total(pids, |pid| cpu_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .map(|ticks| ticks / TICKS_PER_SECOND)
}

/// CPU seconds that the whole machine was busy so far, with whatever it ran.
pub fn machine_cpu_seconds() -> Option<f64> {
    busy_ticks(&fs::read_to_string("/proc/stat").ok()?).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// Resident bytes of the processes now.
pub fn resident_bytes(pids: &[u32]) -> Option<f64> {
    status_bytes(pids, "VmRSS:")
}

/// The most bytes that the processes have had resident.
pub fn peak_resident_bytes(pids: &[u32]) -> Option<f64> {
    status_bytes(pids, "VmHWM:")
}

fn status_bytes(pids: &[u32], field: &str) -> Option<f64> {
    total(pids, |pid| kilobytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, field))
        .map(|kilobytes| kilobytes * 1024.0)
}

fn total(pids: &[u32], read: impl Fn(u32) -> Option<f64>) -> Option<f64> {
    if pids.is_empty() { None } else { pids.iter().map(|pid| read(*pid)).sum() }
}

/// The command's name stands in brackets and may hold spaces and brackets: count fields behind the last one.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests are within user and nice.
fn busy_ticks(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8).enumerate();
    fields.filter(|(field, _)| ![3, 4].contains(field)).map(|(_, ticks)| ticks.parse::<f64>().ok()).sum()
}

fn kilobytes(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_behind_an_awkward_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 100 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn reads_what_the_machine_was_busy_with() {
        assert_eq!(busy_ticks("cpu  100 1 20 9000 800 3 4 5 50 0\ncpu0 1 2 3\n"), Some(133.0));
        assert_eq!(busy_ticks("intr 5"), None);
    }

    #[test]
    fn reads_memory() {
        let status = "Name:\tworkerd\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1024.0));
        assert_eq!(kilobytes(status, "VmHWM:"), Some(2048.0));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }
}
