//! What the benches share: the report, programs that contend for a key, the servers.
#![allow(dead_code)] // each bench uses a part of it

pub(crate) mod contest;
pub(crate) mod measures;
pub(crate) mod prelude;
pub(crate) mod program;
pub(crate) mod report;
pub(crate) mod servers;

/// Nanoseconds on the clock that every program here reads: one for the whole machine, and the only
/// one of the kind that Node can read, too. (It stops in a suspend, as does every bench.)
#[allow(unsafe_code)] // std does not show the number
pub(crate) fn clock() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes into `time` only, and cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The later of two instants of [`clock`] less the earlier, in milliseconds; negative if they are
/// the other way round.
pub(crate) fn ms_between(earlier: u64, later: u64) -> f64 {
    (later as f64 - earlier as f64) / 1e6
}

pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// NaN, which the report leaves out, if there are none.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
