//! Contenders on one key: when each had the lock, how long a handoff took, and what a handoff cost.

use super::prelude::*;

/// How long a contender holds the lock.
pub(crate) const HOLD_MS: u64 = 5;

/// One time that a contender had the lock.
#[derive(Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) contender: usize,
    pub(crate) begun: u64,
    pub(crate) acquired: u64,
    /// When release was called, and when it returned.
    pub(crate) releasing: Option<u64>,
    pub(crate) released: Option<u64>,
}

/// What the contenders reported of a contest, in the order of the reports.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) grants: Vec<Grant>,
    /// The errors that contenders got instead of the lock.
    pub(crate) failures: Vec<String>,
}

impl Record {
    pub(crate) fn note(&mut self, said: &Said) {
        match *said {
            Said::Acquired {
                contender,
                begun,
                at,
            } => self.grants.push(Grant {
                contender,
                begun,
                acquired: at,
                releasing: None,
                released: None,
            }),
            Said::Released {
                contender,
                begun,
                at,
            } => {
                let mut latest = self.grants.iter_mut().rev();
                let own = latest.find(|grant| grant.contender == contender);
                let own = own.expect("a grant before its release");
                (own.releasing, own.released) = (Some(begun), Some(at));
            }
            Said::Failed { ref why, .. } => self.failures.push(why.clone()),
            _ => {}
        }
    }

    pub(crate) fn sort(&mut self) {
        self.grants.sort_by_key(|grant| grant.acquired);
    }

    /// From the instant before the release to that after the next acquire, in ms. Needs the order.
    pub(crate) fn handoffs(&self) -> Vec<f64> {
        let pairs = self.grants.windows(2);
        pairs
            .filter_map(|pair| Some(ms_between(pair[0].releasing?, pair[1].acquired)))
            .collect()
    }

    /// How many grants came before the release of the one before. Needs the order.
    pub(crate) fn overlaps(&self) -> usize {
        self.handoffs().iter().filter(|&&ms| ms < 0.0).count()
    }

    /// The longest wait of the contenders 0 to `size` between two instants, in ms. A contender that came again waits
    /// from its last release on.
    pub(crate) fn longest_wait(&self, size: usize, from: u64, to: u64) -> f64 {
        let mut since = vec![from; size];
        let mut longest = 0.0_f64;
        for grant in &self.grants {
            let begun = grant.begun.max(from);
            longest = longest.max(ms_between(begun, grant.acquired));
            since[grant.contender] = grant.released.unwrap_or(to);
        }
        let waiting = since.into_iter().map(|since| ms_between(since, to));
        waiting.fold(longest, f64::max)
    }

    /// How many had a lock at the same time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        let mut changes: Vec<(u64, bool)> = Vec::new();
        for grant in &self.grants {
            changes.push((grant.acquired, true));
            changes.extend(grant.releasing.map(|at| (at, false)));
        }
        // Of two at one instant, the one that leaves comes first.
        changes.sort_unstable();
        let mut now = 0_usize;
        let counts = changes.into_iter().map(|(_, enters)| {
            now = if enters {
                now + 1
            } else {
                now.saturating_sub(1)
            };
            now
        });
        counts.max().unwrap_or(0)
    }

    pub(crate) fn served(&self) -> usize {
        let mut served: Vec<usize> = self.grants.iter().map(|grant| grant.contender).collect();
        served.sort_unstable();
        served.dedup();
        served.len()
    }
}

/// The figures of the handoffs.
pub(crate) struct Handoffs {
    pub(crate) count: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// Raft writes, in the steady state.
    pub(crate) writes: f64,
    /// Raft writes of a contender that comes and waits, its session among them.
    pub(crate) writes_to_join: f64,
    pub(crate) served: usize,
    /// Contenders that were never served count, too: from the beginning or their call to the end.
    pub(crate) longest_wait: f64,
    pub(crate) failures: usize,
}

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(20);

/// Measures handoffs for about that long. All contenders wait while another session holds the key. Then they pass the
/// lock around: a contender that gave the lock back comes again once another one has it.
pub(crate) fn handoffs(
    servers: &Servers,
    crowd: &mut Crowd,
    key: &str,
    time: Duration,
) -> Handoffs {
    let consul = servers.consul();
    let other = servers.hold(key);
    let before = consul.quiet_raft_index();
    for contender in 0..crowd.size() {
        crowd.turns(contender, HOLD_MS, 1);
    }
    wait_for_silence(servers);
    let begun = consul.raft_index();
    consul.destroy(&other);
    let mut record = Record::default();
    let (begun_at, opened) = (Instant::now(), clock());
    // A few handoffs at least, also of programs that sleep for seconds.
    let is_over = |grants: usize| {
        let elapsed = begun_at.elapsed();
        elapsed >= 3 * time || elapsed >= time && grants > 5
    };
    while !is_over(record.grants.len()) {
        let Some(said) = crowd.next(Instant::now() + TICK) else {
            continue;
        };
        match said {
            Said::Acquired { contender, .. } => {
                if let Some(last) = record.grants.last() {
                    assert_ne!(last.contender, contender, "one came without being sent");
                    crowd.turns(last.contender, HOLD_MS, 1);
                }
            }
            Said::Failed { contender, .. } => crowd.turns(contender, HOLD_MS, 1),
            Said::Gone => panic!("a contender has ended"),
            _ => {}
        }
        record.note(&said);
    }
    let ended = consul.raft_index();
    record.sort();
    let times = record.handoffs();
    assert_eq!(record.overlaps(), 0, "two had the lock at a time");
    if let Some(why) = record.failures.first() {
        eprintln!("{} failures, such as: {why}", record.failures.len());
    }
    Handoffs {
        count: times.len(),
        median: median(&times),
        p99: percentile(&times, 0.99),
        writes: (ended - begun) as f64 / record.grants.len() as f64,
        writes_to_join: (begun - before) as f64 / crowd.size() as f64,
        served: record.served(),
        longest_wait: record.longest_wait(crowd.size(), opened, clock()),
        failures: record.failures.len(),
    }
}

/// Waits until Consul has had no write for a while: then all stand in line. For programs that poll, this ends with its
/// time limit.
pub(crate) fn wait_for_silence(servers: &Servers) {
    let consul = servers.consul();
    let deadline = Instant::now() + Duration::from_secs(4);
    let (mut index, mut since) = (consul.raft_index(), Instant::now());
    while Instant::now() < deadline && since.elapsed() < Duration::from_millis(400) {
        std::thread::sleep(Duration::from_millis(50));
        let now = consul.raft_index();
        if now != index {
            (index, since) = (now, Instant::now());
        }
    }
}
