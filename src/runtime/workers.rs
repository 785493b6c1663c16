//! The workers: threads that perform requests, made when they are needed and ended when they are not.
//!
//! Their number is bounded, whatever the number of waiters: more requests wait in two lists. Requests that keep
//! a promise come first, the one with the earliest deadline before the others. Requests that make a new promise
//! are served first come, first served, and never get the last thread.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Condvar;

use super::Runtime;
use super::promises::Promises;
use super::requests::RequestJob;
use crate::clock::Time;
use crate::core::{Budget, Lane};
use crate::error::{Error, Status};
use crate::lockorder::{Mutex, Rank};
use crate::threads::LINGER;

/// The largest number of threads for requests that make new promises. With the thread that only keeps them, those
/// for blocking queries, the timer and the two for callbacks a client has 32 threads at most, unless it may have
/// more connections than by default.
const MOST_MAKING: usize = 4;

#[derive(Debug)]
pub(super) struct Workers {
    prompt: Team,
    long: Team,
}

#[derive(Debug)]
pub(super) struct Team {
    most: usize,
    /// How many of the threads serve only requests that keep a promise, while there is one.
    kept: usize,
    promises: Promises,
    state: Mutex<TeamState>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct TeamState {
    /// Requests that keep a promise, by their deadline.
    keep: BTreeMap<(Time, u64), RequestJob>,
    make: VecDeque<RequestJob>,
    /// Jobs of which each has a thread reserved.
    reserved: VecDeque<RequestJob>,
    numbers: u64,
    threads: usize,
    /// Threads without a job, and not reserved for one.
    idle: usize,
    /// How many of them have not begun to run.
    starting: usize,
    /// Threads whose request does not keep a promise.
    making: usize,
}

impl TeamState {
    fn queued(&self) -> usize {
        self.keep.len() + self.make.len()
    }

    /// There is a thread that waits for a job, and for which none is reserved.
    fn has_spare(&self) -> bool {
        self.idle > self.starting
    }

    /// Counts a thread that is about to be made.
    fn add_thread(&mut self) {
        self.threads += 1;
        self.idle += 1;
        self.starting += 1;
    }

    /// The system gave no thread.
    fn has_no_thread(&mut self) {
        self.threads -= 1;
        self.idle -= 1;
        self.starting -= 1;
    }

    fn put(&mut self, job: RequestJob) {
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

    /// How many of the present threads may make new promises.
    fn may_make(&self, state: &TeamState) -> usize {
        let kept = if self.promises.any() { self.kept } else { 0 };
        let there = state.threads.saturating_sub(kept);
        there.min(self.most - self.kept)
    }

    fn take(&self, state: &mut TeamState) -> Option<RequestJob> {
        if let Some(job) = state.reserved.pop_front() {
            return Some(job);
        }
        if !state.has_spare() {
            return None;
        }
        let job = match state.keep.pop_first() {
            Some((_, job)) => Some(job),
            // The first promise may be younger than this request: no other thread would come for it.
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

    /// Reserves a waiting thread for a request of this lane, as if that thread had taken the request already. None: the
    /// request would not be the next that a waiting thread takes.
    pub(super) fn reserve(&self, lane: Lane) -> Option<Reservation<'_>> {
        let mut state = self.state.lock();
        let may = lane == Lane::Keep || state.making < self.may_make(&state);
        if !may || !state.has_spare() || state.queued() > 0 {
            return None;
        }
        state.idle -= 1;
        state.making += usize::from(lane != Lane::Keep);
        Some(Reservation { team: self, lane })
    }

    /// A thread has done a job. Whether it may go on with `next`, which stood in no list.
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

/// A waiting thread that no other request gets. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    team: &'a Team,
    lane: Lane,
}

impl Reservation<'_> {
    /// Has the thread do the job.
    pub(super) fn fill(self, job: RequestJob) {
        self.team.state.lock().reserved.push_back(job);
        self.team.work.notify_one();
        std::mem::forget(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.team.state.lock();
        state.idle += 1;
        state.making -= usize::from(self.lane != Lane::Keep);
        drop(state);
        // A request that came meanwhile may have woken a thread that was not allowed to take it.
        self.team.work.notify_one();
    }
}

impl Workers {
    /// Each thread for blocking queries has a connection.
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

    pub(super) fn team(&self, lane: Lane) -> &Team {
        match lane {
            Lane::Keep | Lane::Make => &self.prompt,
            Lane::Long => &self.long,
        }
    }

    fn teams(&self) -> [&Team; 2] {
        [&self.prompt, &self.long]
    }

    /// A request waits for a thread.
    pub(super) fn are_behind(&self) -> bool {
        let mut teams = self.teams().into_iter();
        teams.any(|team| team.state.lock().queued() > 0)
    }

    /// The number of threads.
    pub(super) fn threads(&self) -> usize {
        self.teams()
            .map(|team| team.state.lock().threads)
            .iter()
            .sum()
    }

    fn take_late(&self, now: Time) -> Vec<RequestJob> {
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
                late.extend::<VecDeque<RequestJob>>(over);
            }
        }
        late
    }
}

impl Runtime {
    /// Gives a job to a worker. The job comes back with the reason where no thread can be made for it.
    pub(super) fn submit(&self, job: RequestJob) -> Option<(RequestJob, Error)> {
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
            state.add_thread();
            drop(state);
            let spawned = self.spawn(move |runtime| runtime.work(runtime.workers.team(lane)));
            state = team.state.lock();
            if let Err(error) = spawned {
                state.has_no_thread();
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
        // The thread that wakes must find the mutex free.
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
        state.add_thread();
        drop(state);
        self.spawn(|runtime| runtime.work(&runtime.workers.prompt))
            .map_err(|error| {
                team.state.lock().has_no_thread();
                no_thread(&error)
            })
    }

    fn work(&self, team: &Team) {
        team.state.lock().starting -= 1;
        while let Some(job) = self.next(team) {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                let done = job.lane;
                // A panic in the library ends neither the thread nor the process.
                let jobs = catch_unwind(AssertUnwindSafe(|| self.perform(job, None)));
                let mut jobs = jobs.unwrap_or_default();
                // This thread goes on with the first job that follows, if it may. Other threads get the rest.
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
    fn next(&self, team: &Team) -> Option<RequestJob> {
        let mut state = team.state.lock();
        let mut deadline = Time::now() + LINGER;
        loop {
            if let Some(job) = team.take(&mut state) {
                return Some(job);
            }
            let now = Time::now();
            if now >= deadline || self.is_left() {
                // The last thread stays while something is under way.
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
                if !stays && state.queued() == 0 && state.has_spare() {
                    state.idle -= 1;
                    state.threads -= 1;
                    return None;
                }
                deadline = now + LINGER;
            }
            state = state.wait_timeout(&team.work, deadline.since(now)).0;
        }
    }

    /// Wakes the idle threads, so that they leave.
    pub(super) fn wake_workers(&self) {
        for team in self.workers.teams() {
            // With the mutex free once, a thread that looked before this is asleep by now.
            drop(team.state.lock());
            team.work.notify_all();
        }
    }

    /// Has the timer answer if no thread is free by then.
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

#[cfg(test)]
mod tests;
