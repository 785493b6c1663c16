//! Threads that perform requests, made when they are needed and ended when they are not.
//!
//! Their number is bounded, whatever the number of waiters: beyond it requests stand in line, first
//! come, first served.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Job, LINGER, Runtime, lock};
use crate::clock::Time;
use crate::core::{Budget, Lane};
use crate::error::{Error, Status};

/// Threads for requests that are answered at once, at most. With those for blocking queries, the timer
/// and the two for callbacks there are never more than 32, whatever waits, unless a client may have
/// more connections.
const MOST_SHORT: usize = 5;

#[derive(Debug)]
pub(super) struct Workers {
    short: Team,
    long: Team,
}

#[derive(Debug)]
struct Team {
    most: usize,
    state: Mutex<TeamState>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct TeamState {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Team {
    fn new(most: usize) -> Team {
        Team {
            most,
            state: Mutex::default(),
            work: Condvar::new(),
        }
    }

    /// The next job; None: there was none for a while, and the thread has left the team.
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        state.idle += 1;
        let deadline = Time::now() + LINGER;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                return Some(job);
            }
            let left = deadline.since(Time::now());
            if left.is_zero() {
                state.idle -= 1;
                state.threads -= 1;
                return None;
            }
            state = self
                .work
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Workers {
    /// Those for blocking queries have a connection each.
    pub(super) fn new(connections: usize) -> Workers {
        let Budget {
            watches, listings, ..
        } = Budget::of(connections);
        let long = watches + listings;
        let short = connections.saturating_sub(long).clamp(1, MOST_SHORT);
        Workers {
            short: Team::new(short),
            long: Team::new(long),
        }
    }

    fn team(&self, lane: Lane) -> &Team {
        match lane {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        }
    }

    /// Some request waits for a thread.
    pub(super) fn are_behind(&self) -> bool {
        [&self.short, &self.long].into_iter().any(|team| {
            let state = lock(&team.state);
            state.queue.len() > state.idle
        })
    }

    /// How many there are.
    pub(super) fn threads(&self) -> usize {
        let teams = [&self.short, &self.long];
        teams.map(|team| lock(&team.state).threads).iter().sum()
    }

    fn take_late(&self, now: Time) -> Vec<Job> {
        let mut late = Vec::new();
        for team in [&self.short, &self.long] {
            let mut state = lock(&team.state);
            if state.queue.iter().any(|job| job.by <= now) {
                let (over, queue) = state.queue.drain(..).partition(|job| job.by <= now);
                state.queue = queue;
                late.extend::<VecDeque<Job>>(over);
            }
        }
        late
    }
}

impl Runtime {
    /// Gives a job to a worker. What no thread can be made for comes back, with the reason.
    pub(super) fn submit(&self, job: Job) -> Option<(Job, Error)> {
        let (lane, by) = (job.lane, job.by);
        let team = self.workers.team(lane);
        let mut state = lock(&team.state);
        state.queue.push_back(job);
        if state.queue.len() <= state.idle {
            // Whoever wakes must not run into the mutex.
            drop(state);
            team.work.notify_one();
            return None;
        }
        if state.threads >= team.most {
            drop(state);
            self.refuse_in_time(by);
            return None;
        }
        state.threads += 1;
        drop(state);
        let Err(error) = self.spawn(move |runtime| runtime.work(lane)) else {
            return None;
        };
        let mut state = lock(&team.state);
        state.threads -= 1;
        // Others will come to it.
        if state.threads > 0 {
            drop(state);
            self.refuse_in_time(by);
            return None;
        }
        let job = state.queue.pop_back()?;
        let why = format!("the system gives no thread: {error}");
        Some((job, Error::new(Status::NoResources, why)))
    }

    fn work(&self, lane: Lane) {
        while let Some(job) = self.workers.team(lane).next() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                // A panic of ours ends neither the thread nor the process.
                let jobs = catch_unwind(AssertUnwindSafe(|| self.perform(job, None)));
                // The first of what follows is ours, if it is of our kind; the others' the rest.
                for job in jobs.unwrap_or_default() {
                    if next.is_none() && job.lane == lane && lane == Lane::Short {
                        next = Some(job);
                    } else {
                        self.hand_over([job]);
                    }
                }
            }
        }
    }

    /// No thread is free: if none is by then, the timer answers.
    fn refuse_in_time(&self, by: Time) {
        self.wake_timer(&mut lock(&self.state), by);
    }

    /// Answers the requests whose time ran out before a thread was free.
    pub(super) fn refuse_late(&self, now: Time) {
        for job in self.workers.take_late(now) {
            let why = "no thread was free in time: too many requests at once";
            let jobs = self.refuse(job, Error::new(Status::Unavailable, why));
            self.hand_over(jobs);
        }
    }
}
