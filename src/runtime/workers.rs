//! Threads that perform requests, made when they are needed and ended when they are not.
//!
//! Their number is bounded, whatever the number of waiters: beyond it requests stand in two lines. What keeps a
//! promise comes first, and there the one whose time ends first; what makes a new one is served first come,
//! first served, and never has the last thread.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Condvar;

use super::promises::Promises;
use super::{Job, Runtime};
use crate::clock::Time;
use crate::core::{Budget, Lane};
use crate::error::{Error, Status};
use crate::lockorder::{Mutex, Rank};
use crate::threads::LINGER;

/// Threads for requests that make new promises, at most. With the one that only keeps them, those for blocking
/// queries, the timer and the two for callbacks there are never more than 32, whatever waits, unless a client
/// may have more connections.
const MOST_MAKING: usize = 4;

#[derive(Debug)]
pub(super) struct Workers {
    prompt: Team,
    long: Team,
}

#[derive(Debug)]
struct Team {
    most: usize,
    /// How many of its threads serve only what keeps a promise, while there is one.
    kept: usize,
    promises: Promises,
    state: Mutex<TeamState>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct TeamState {
    /// What keeps a promise, by the end of its time.
    keep: BTreeMap<(Time, u64), Job>,
    make: VecDeque<Job>,
    numbers: u64,
    threads: usize,
    /// Threads without a job.
    idle: usize,
    /// Threads that do not keep a promise now.
    making: usize,
}

impl TeamState {
    fn queued(&self) -> usize {
        self.keep.len() + self.make.len()
    }

    fn put(&mut self, job: Job) {
        if job.lane == Lane::Keep {
            self.numbers += 1;
            self.keep.insert((job.by, self.numbers), job);
        } else {
            self.make.push_back(job);
        }
    }
}

impl Team {
    fn new(most: usize, kept: usize, promises: &Promises) -> Team {
        Team {
            most,
            kept,
            promises: promises.clone(),
            state: Mutex::new(Rank::Team, TeamState::default()),
            work: Condvar::new(),
        }
    }

    /// How many of the threads there are may make new promises.
    fn may_make(&self, state: &TeamState) -> usize {
        let kept = if self.promises.any() { self.kept } else { 0 };
        let there = state.threads.saturating_sub(kept);
        there.min(self.most - self.kept)
    }

    fn take(&self, state: &mut TeamState) -> Option<Job> {
        let job = match state.keep.pop_first() {
            Some((_, job)) => Some(job),
            // The first promise may have been made since this was put into the line: no other thread would come.
            None if state.making < self.may_make(state).max(1) => {
                let job = state.make.pop_front();
                state.making += usize::from(job.is_some());
                job
            }
            None => None,
        };
        state.idle -= usize::from(job.is_some());
        job
    }

    /// A thread has done a job. Whether it may go on with this one, which stood in no line, or has none.
    fn goes_on(&self, done: Lane, next: Option<Lane>) -> bool {
        let mut state = self.state.lock();
        state.making -= usize::from(done != Lane::Keep);
        let goes_on = match next {
            None | Some(Lane::Long) => false,
            Some(Lane::Keep) => true,
            Some(Lane::Make) => state.keep.is_empty() && state.making < self.may_make(&state),
        };
        if goes_on {
            state.making += usize::from(next != Some(Lane::Keep));
        } else {
            state.idle += 1;
        }
        goes_on
    }
}

impl Workers {
    /// Those for blocking queries have a connection each.
    pub(super) fn new(connections: usize, promises: &Promises) -> Workers {
        let Budget {
            watches, listings, ..
        } = Budget::of(connections);
        let long = watches + listings;
        let making = connections.saturating_sub(long).clamp(1, MOST_MAKING);
        Workers {
            prompt: Team::new(making + 1, 1, promises),
            long: Team::new(long, 0, promises),
        }
    }

    fn team(&self, lane: Lane) -> &Team {
        match lane {
            Lane::Keep | Lane::Make => &self.prompt,
            Lane::Long => &self.long,
        }
    }

    fn teams(&self) -> [&Team; 2] {
        [&self.prompt, &self.long]
    }

    /// Some request waits for a thread.
    pub(super) fn are_behind(&self) -> bool {
        let mut teams = self.teams().into_iter();
        teams.any(|team| team.state.lock().queued() > 0)
    }

    /// How many there are.
    pub(super) fn threads(&self) -> usize {
        self.teams()
            .map(|team| team.state.lock().threads)
            .iter()
            .sum()
    }

    fn take_late(&self, now: Time) -> Vec<Job> {
        let mut late = Vec::new();
        for team in self.teams() {
            let mut state = team.state.lock();
            let in_time = state
                .keep
                .split_off(&(now + std::time::Duration::from_nanos(1), 0));
            late.extend(std::mem::replace(&mut state.keep, in_time).into_values());
            if state.make.iter().any(|job| job.by <= now) {
                let (over, rest) = state.make.drain(..).partition(|job| job.by <= now);
                state.make = rest;
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
        let mut state = team.state.lock();
        let making = state.making + state.make.len();
        let (there, possible) = match lane {
            Lane::Keep => (state.keep.len() < state.idle, true),
            Lane::Make | Lane::Long => (
                state.queued() < state.idle && making < team.may_make(&state),
                making < team.most - team.kept,
            ),
        };
        if !there && possible && state.threads < team.most {
            state.threads += 1;
            state.idle += 1;
            drop(state);
            let spawned = self.spawn(move |runtime| runtime.work(runtime.workers.team(lane)));
            state = team.state.lock();
            if let Err(error) = spawned {
                state.threads -= 1;
                state.idle -= 1;
                let others = match lane {
                    Lane::Keep => state.threads,
                    Lane::Make | Lane::Long => team.may_make(&state),
                };
                if others == 0 {
                    return Some((job, no_thread(&error)));
                }
            }
        }
        state.put(job);
        let full = lane != Lane::Keep && state.making >= team.may_make(&state);
        let (wait, wakes) = (full || state.queued() > state.idle, state.idle > 0);
        // The thread that wakes must not run into the mutex.
        drop(state);
        if wakes {
            team.work.notify_one();
        }
        if wait {
            self.refuse_in_time(by);
        }
        None
    }

    /// Makes sure that there is a thread that keeps promises.
    pub(super) fn have_keeper(&self) -> Result<(), Error> {
        let team = &self.workers.prompt;
        let mut state = team.state.lock();
        if state.threads > 0 {
            return Ok(());
        }
        state.threads += 1;
        state.idle += 1;
        drop(state);
        self.spawn(|runtime| runtime.work(&runtime.workers.prompt))
            .map_err(|error| {
                let mut state = team.state.lock();
                state.threads -= 1;
                state.idle -= 1;
                no_thread(&error)
            })
    }

    fn work(&self, team: &Team) {
        while let Some(job) = self.next(team) {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                let done = job.lane;
                // A panic of ours ends neither the thread nor the process.
                let jobs = catch_unwind(AssertUnwindSafe(|| self.perform(job, None)));
                let mut jobs = jobs.unwrap_or_default();
                // This thread goes on with the first job that follows, if it may; other threads get the rest.
                let first = jobs.iter().position(|job| job.lane != Lane::Long);
                let first = first.filter(|_| done != Lane::Long);
                let lane = first.and_then(|at| jobs.get(at)).map(|job| job.lane);
                if let (true, Some(at)) = (team.goes_on(done, lane), first) {
                    next = Some(jobs.remove(at));
                }
                self.hand_over(jobs);
            }
        }
    }

    /// The next job; None: there was none for a while, and the thread has left the team.
    fn next(&self, team: &Team) -> Option<Job> {
        let mut state = team.state.lock();
        let mut deadline = Time::now() + LINGER;
        loop {
            if let Some(job) = team.take(&mut state) {
                return Some(job);
            }
            let now = Time::now();
            if now >= deadline || self.is_left() {
                // The last one stays while something is owed.
                let last = state.threads == 1 && team.kept > 0;
                let stays = last && {
                    drop(state);
                    let owes = self.state.lock().owes();
                    state = team.state.lock();
                    owes || team.promises.any()
                };
                if let Some(job) = team.take(&mut state) {
                    return Some(job);
                }
                if !stays && state.queued() == 0 {
                    state.idle -= 1;
                    state.threads -= 1;
                    return None;
                }
                deadline = now + LINGER;
            }
            state = state.wait_timeout(&team.work, deadline.since(now)).0;
        }
    }

    /// Has those leave that wait for a job.
    pub(super) fn wake_workers(&self) {
        for team in self.workers.teams() {
            // One that has looked before is asleep by now.
            drop(team.state.lock());
            team.work.notify_all();
        }
    }

    /// No thread is free: if none is by then, the timer answers.
    fn refuse_in_time(&self, by: Time) {
        self.wake_timer(&mut self.state.lock(), by);
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

fn no_thread(error: &std::io::Error) -> Error {
    let why = format!("cannot start a thread (requests): {error}");
    Error::new(Status::NoResources, why)
}
