//! The statistics of one client: plain numbers, changed under the mutex that is held anyway.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clock::Time;
use crate::consul::facts::{self, TABLE};
use crate::consul::transport::Connections;
use crate::core::messages::{Answer, Fault, Request};
use crate::core::{Phase, View};

/// The row of a request in the table of facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestKind(usize);

impl RequestKind {
    pub(super) fn of(request: &Request) -> RequestKind {
        RequestKind(facts::number(request))
    }
}

/// The numbers of one client.
#[derive(Debug, Default)]
pub(super) struct Stats {
    requests: [u64; facts::KINDS],
    unanswered: u64,
    raft_writes: u64,
    waiting: u64,
    held: u64,
    lost: u64,
    acquire_time: Histogram,
    hold_time: Histogram,
}

/// What other parts of the runtime count.
pub(super) struct Elsewhere<'a> {
    pub(super) retries: u64,
    pub(super) observers: usize,
    pub(super) threads: usize,
    pub(super) connections: &'a Connections,
}

impl Stats {
    /// The library sends a request, or has it wait for a thread.
    pub(super) fn asked(&mut self, kind: RequestKind) {
        if let Some(count) = self.requests.get_mut(kind.0) {
            *count += 1;
        }
    }

    /// The answer to a request has come.
    pub(super) fn answered(&mut self, kind: RequestKind, answer: &Result<Answer, Fault>) {
        match answer {
            // Consul refuses before it writes to its Raft log.
            Ok(Answer::Delayed) => {}
            Ok(_) => {
                let writes = TABLE.get(kind.0).is_some_and(|facts| facts.is_logged());
                self.raft_writes += u64::from(writes);
            }
            Err(Fault::NotApplied(_) | Fault::Unknown(_)) => self.unanswered += 1,
            Err(Fault::SessionGone(_) | Fault::TooLarge(_) | Fault::Final(_)) => {}
        }
    }

    /// A lock goes from one view to the next. It was in the first phase since `since`. Returns the start of the
    /// second one.
    pub(super) fn moved(&mut self, from: &View, to: &View, since: Time, now: Time) -> Time {
        if from.phase == to.phase {
            return since;
        }
        match from.phase {
            Phase::Acquiring => {
                self.waiting = self.waiting.saturating_sub(1);
                if to.phase == Phase::Held {
                    self.acquire_time.record(now.since(since));
                }
            }
            Phase::Held => {
                self.held = self.held.saturating_sub(1);
                self.hold_time.record(now.since(since));
            }
            Phase::New | Phase::Lost | Phase::Over => {}
        }
        match to.phase {
            Phase::Acquiring => self.waiting += 1,
            Phase::Held => self.held += 1,
            Phase::Lost => self.lost += 1,
            Phase::New | Phase::Over => {}
        }
        now
    }

    /// The object that docs/guide.md describes, "Looking".
    pub(super) fn json(&self, elsewhere: &Elsewhere<'_>) -> String {
        let told = StatsAsTold {
            requests: &self.requests,
            raft_writes: self.raft_writes,
            unanswered: self.unanswered,
            retries: elsewhere.retries,
            waiting: self.waiting,
            held: self.held,
            lost: self.lost,
            observers: elsewhere.observers,
            connections: elsewhere.connections.open(),
            connections_peak: elsewhere.connections.peak(),
            threads: elsewhere.threads,
            acquire_us: self.acquire_time.summary(),
            hold_us: self.hold_time.summary(),
        };
        // Numbers always have JSON.
        serde_json::to_string(&told).unwrap_or_default()
    }
}

/// The statistics as a program reads them.
#[derive(Serialize)]
struct StatsAsTold<'a> {
    #[serde(serialize_with = "by_name")]
    requests: &'a [u64; facts::KINDS],
    raft_writes: u64,
    unanswered: u64,
    retries: u64,
    waiting: u64,
    held: u64,
    lost: u64,
    observers: usize,
    connections: usize,
    connections_peak: usize,
    threads: usize,
    acquire_us: Summary,
    hold_us: Summary,
}

/// The counts, each under the name of its request.
fn by_name<S: Serializer>(counts: &&[u64; facts::KINDS], to: S) -> Result<S::Ok, S::Error> {
    let names = TABLE.iter().map(|facts| facts.name);
    to.collect_map(names.zip(counts.iter()))
}

/// The number of buckets for each power of two: a percentile is at most an eighth too large.
const PARTS: u64 = 8;

/// The number of buckets, up to 2^46 microseconds: two years.
const BUCKETS: usize = 352;

/// Lengths of time, in microseconds.
struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: Box::new([0; BUCKETS]),
            count: 0,
            max: 0,
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({} values)", self.count)
    }
}

/// The bucket that counts a value: 0 to 7 have one each, then each power of two has eight.
fn bucket(us: u64) -> usize {
    let shift = us.max(1).ilog2().saturating_sub(PARTS.ilog2());
    let bucket = u64::from(shift) * PARTS + (us >> shift);
    usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1))
}

/// The largest value that a bucket counts.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PARTS).saturating_sub(1);
    ((bucket - shift * PARTS + 1) << shift) - 1
}

impl Histogram {
    fn record(&mut self, length: Duration) {
        let us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(us)) {
            *count += 1;
        }
        self.count += 1;
        self.max = self.max.max(us);
    }

    /// The value that so many of a hundred values do not exceed; 0 when there are no values.
    fn percentile(&self, of_hundred: u64) -> u64 {
        let rank = (self.count * of_hundred).div_ceil(100);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        found.map_or(self.max, upper_end).min(self.max)
    }

    fn summary(&self) -> Summary {
        Summary {
            count: self.count,
            p50: self.percentile(50),
            p90: self.percentile(90),
            p99: self.percentile(99),
            max: self.max,
        }
    }
}

/// Some lengths of time, in microseconds.
#[derive(Serialize)]
struct Summary {
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_a_bucket_that_ends_at_most_an_eighth_above_it() {
        let mut before = 0;
        for us in (0..5000).chain((13..46).flat_map(|top| {
            let base = 1_u64 << top;
            [base - 1, base, base + 1, base + base / 3]
        })) {
            let (at, end) = (bucket(us), upper_end(bucket(us)));
            assert!(at < BUCKETS && at >= before, "{us}");
            assert!(end >= us && end <= us + us / 8, "{us} {end}");
            assert!(at == 0 || upper_end(at - 1) < us, "{us}");
            before = at;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), 0);
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (of_hundred, exact) in [(50, 500_000), (90, 900_000), (99, 990_000)] {
            let told = histogram.percentile(of_hundred);
            assert!(told >= exact && told <= exact + exact / 8, "{told}");
        }
        assert_eq!(histogram.percentile(100), 1_000_000);
        assert_eq!(histogram.max, 1_000_000);
    }
}
