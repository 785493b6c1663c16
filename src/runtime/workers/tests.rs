//! Which thread takes which request, without threads: the tests count them.

use super::*;
use crate::consul::interrupt::Interrupt;
use crate::core::RequestId;
use crate::core::messages::Request;

impl Team {
    /// Counts a waiting thread that does not run.
    pub(in crate::runtime) fn add_sleeper(&self) {
        let mut state = self.state.lock();
        state.threads += 1;
        state.idle += 1;
    }

    /// How many threads wait.
    pub(in crate::runtime) fn idle_threads(&self) -> usize {
        self.state.lock().idle
    }
}

impl Runtime {
    /// Has this thread be the one that [`Team::add_sleeper`] has counted.
    pub(in crate::runtime) fn work_as_sleeper(&self) {
        let team = &self.workers.prompt;
        team.state.lock().starting += 1;
        self.work(team);
    }
}

fn job(id: u64, lane: Lane) -> RequestJob {
    RequestJob {
        id: RequestId(id),
        request: Request::DescribeAgent,
        by: Time::now(),
        lane,
        lock: None,
        interrupt: Interrupt::default(),
        ahead: None,
    }
}

/// A team with waiting threads.
fn team(threads: usize, promises: &Promises) -> Team {
    let team = Team::new(5, 1, promises);
    for _ in 0..threads {
        team.add_sleeper();
    }
    team
}

fn take(team: &Team) -> Option<u64> {
    team.take(&mut team.state.lock()).map(|job| job.id.0)
}

#[test]
fn a_reserved_thread_takes_no_other_request() {
    let team = team(1, &Promises::default());
    let reserved = team.reserve(Lane::Make).expect("it waits");
    assert!(team.reserve(Lane::Keep).is_none(), "there is one");
    team.state.lock().put(job(1, Lane::Keep));
    assert_eq!(take(&team), None);
    reserved.fill(job(2, Lane::Make));
    assert_eq!(take(&team), Some(2));
    // The thread has done that job.
    assert!(!team.goes_on(Lane::Make, None));
    assert_eq!(take(&team), Some(1));
}

#[test]
fn a_reservation_that_is_given_up_leaves_the_thread_to_others() {
    let team = team(1, &Promises::default());
    drop(team.reserve(Lane::Make).expect("it waits"));
    let state = team.state.lock();
    assert_eq!((state.idle, state.making), (1, 0));
    drop(state);
    team.state.lock().put(job(1, Lane::Make));
    assert_eq!(take(&team), Some(1));
}

#[test]
fn no_request_overtakes_one_that_waits() {
    let team = team(3, &Promises::default());
    team.state.lock().put(job(1, Lane::Make));
    assert!(team.reserve(Lane::Make).is_none() && team.reserve(Lane::Keep).is_none());
    assert_eq!(take(&team), Some(1));
    assert!(team.reserve(Lane::Make).is_some());
}

#[test]
fn the_last_thread_is_reserved_only_to_keep_a_promise() {
    let promises = Promises::default();
    let team = team(2, &promises);
    let _promise = promises.one();
    let first = team.reserve(Lane::Make).expect("one of two");
    assert!(team.reserve(Lane::Make).is_none(), "the last one");
    assert!(team.reserve(Lane::Keep).is_some());
    first.fill(job(1, Lane::Make));
    assert!(team.reserve(Lane::Make).is_none(), "still the last one");
}

#[test]
fn a_thread_that_has_not_begun_is_not_reserved() {
    let team = team(0, &Promises::default());
    team.state.lock().add_thread();
    assert!(team.reserve(Lane::Keep).is_none());
    // The system gave no thread after all: no count is below none.
    team.state.lock().has_no_thread();
    assert_eq!(team.idle_threads(), 0);
}
