//! The picture of a world: 128 bits that are the same for two worlds in which the same can happen from now on, and in
//! which the same is right.
//!
//! The picture is drawn from the Debug text of everything that a world has, so that a field that is added to the core
//! is part of the picture without a word here. What the text says otherwise than it matters is changed on the way:
//!
//! * An instant is its distance from now. One that is more than [`LONG_AGO`] past is "long ago": the longest time for
//!   which a core, the model or a property looks back is 60 s.
//! * An id or a Raft index is its rank among those of its kind in this world. Ids and indexes grow, and a new one is
//!   larger than all others; the cores, Consul and the properties compare them and do nothing else with them. Equal ranks
//!   give equal comparisons, now and later. Indexes below [`super::pen::FIRST_INDEX`] are constants (0 is "no row"), and keep
//!   their values.
//! * The counters from which ids come are left out ([`Kind::Counter`]): the next id is larger than all others in any case.
//! * What decides nothing is left out ([`super::pen::Word::Nothing`]): texts for operators, statistics, and what stands elsewhere too.
//! * The core of a killed process is left out: no input reaches it.
//! * The ids that a core gives are ranks among those of the same core: no other core ever sees them.
//!
//! A world has parts ([`Shared`]), and each part keeps its sketch until the part changes: the hash of its text without the
//! numbers above, and these numbers in their order. The picture is the hash of all sketches, and of what the numbers are
//! beside each other and beside the time.
//!
//! Two different pictures have the same 128 bits by chance only: among n states with a probability of n²/2¹²⁹, which for
//! a billion states is 10⁻²¹.

use std::fmt::Debug;

use super::pen::{Hash, Kind, Mark, Pen, Sketch};
use super::*;

/// Longer than the cores, the model and the properties look back.
const LONG_AGO: i128 = 100_000_000_000;

/// The hash of sketches.
struct Picture {
    hash: Hash,
    now: Time,
    marks: Vec<Mark>,
}

impl Picture {
    fn add(&mut self, sketch: &Sketch) {
        let [one, two] = sketch.hash.0;
        self.hash.word(one);
        self.hash.word(two);
        self.marks.extend_from_slice(&sketch.marks);
    }

    fn instant(&mut self, at: Time) {
        let distance = i128::from(at.0) - i128::from(self.now.0);
        self.hash.word(match at {
            Time(u64::MAX) => u64::MAX - 1,
            _ => distance.max(-LONG_AGO) as i64 as u64,
        });
    }

    fn done(mut self) -> u128 {
        let marks = std::mem::take(&mut self.marks);
        let mut sorted: Vec<(Mark, u32)> = Vec::with_capacity(marks.len());
        for (place, mark) in marks.iter().enumerate() {
            if mark.kind == Kind::Instant {
                self.instant(Time(mark.number));
            } else {
                sorted.push((*mark, place as u32));
            }
        }
        sorted.sort_unstable();
        let mut ranks = vec![0_u32; marks.len()];
        let mut before: Option<(Mark, u32)> = None;
        for (mark, place) in sorted {
            let rank = match before {
                Some((other, rank)) if other == mark => rank,
                Some((other, rank)) if (other.kind, other.process) == (mark.kind, mark.process) => {
                    rank + 1
                }
                _ => 0,
            };
            ranks[place as usize] = rank;
            before = Some((mark, rank));
        }
        for pair in ranks.chunks(2) {
            let second = pair.get(1).copied().unwrap_or_default();
            self.hash.word(u64::from(pair[0]) << 32 | u64::from(second));
        }
        let [one, two] = self.hash.0;
        u128::from(one) << 64 | u128::from(two)
    }
}

impl World {
    /// The same world, all of which is drawn anew.
    pub(in crate::sim) fn undrawn(&self) -> World {
        let mut world = self.clone();
        world.model.forget_sketch();
        world.ledger.forget_sketch();
        world.line.forget_sketch();
        for process in &mut world.processes {
            process.forget_sketch();
        }
        world
    }

    /// The picture of the world.
    pub(in crate::sim) fn picture(&self) -> u128 {
        let mut picture = Picture {
            hash: Hash::BEGIN,
            now: self.now,
            marks: Vec::with_capacity(512),
        };
        picture.add(self.model.sketch(|model| sketch_of(model)));
        for (number, process) in self.processes.iter().enumerate() {
            picture.add(process.sketch(|process| process.drawn(number)));
            for user in &process.users {
                let has_just_got_it = user.doing == Doing::Holding && user.since == self.now;
                picture.hash.word(u64::from(has_just_got_it));
            }
        }
        picture.add(self.ledger.sketch(|ledger| sketch_of(ledger)));
        picture.add(self.line.sketch(|line| sketch_of(line)));
        let mut pen = Pen::new();
        pen.draw(&(&self.looked_for, &self.taken, &self.notices));
        pen.draw(&self.frozen);
        for (watch, (process, request)) in &self.parked {
            pen.process = *process;
            pen.draw(&(watch, process, request));
        }
        let mut waiting: Vec<_> = self.happenings.values().collect();
        waiting.sort_by_key(|(at, happening)| (place_of(happening), *at));
        for (at, happening) in waiting {
            pen.mark(Kind::Instant, at.0);
            self.draw_happening(&mut pen, happening);
        }
        picture.add(&pen.done());
        picture.done()
    }

    fn draw_happening(&self, pen: &mut Pen, happening: &Happening) {
        match happening {
            Happening::Answer {
                process,
                request,
                result,
            } => {
                pen.process = *process;
                pen.draw(&("answer", process, request));
                let flight = self.processes[*process].flights.get(request);
                // The core gets what the verdict says, and not the text.
                if let (Some(flight), Ok(reply)) = (flight, result) {
                    pen.hash.word(u64::from(reply.status));
                    pen.draw(&verdict(&flight.request, Ok(reply.clone())));
                } else {
                    pen.draw(&result.as_ref().err());
                }
            }
            Happening::Late(request, _, gives_back) => {
                pen.draw(&("late", request, gives_back));
            }
            Happening::Deliver { process, request } => {
                pen.process = *process;
                pen.draw(&("deliver", process, request));
            }
            other => pen.draw(other),
        }
    }
}

fn sketch_of(what: &dyn Debug) -> Sketch {
    let mut pen = Pen::new();
    pen.draw(what);
    pen.done()
}

impl Process {
    fn drawn(&self, number: usize) -> Sketch {
        let mut pen = Pen::new();
        pen.process = number;
        pen.draw(&(
            self.crashed,
            self.missed,
            self.stopped,
            self.asks_old_leader,
        ));
        if self.crashed {
            // Its requests may still come.
            for (request, flight) in self.flights.iter().chain(&self.given_up) {
                pen.flight(request, flight);
            }
            return pen.done();
        }
        pen.draw(&self.core);
        pen.draw(&self.core.fastest());
        for user in &self.users {
            pen.draw(&(user.rounds, user.doing, user.lock));
        }
        pen.draw(&(&self.hung_up, self.stopped_for));
        for flights in [&self.flights, &self.given_up] {
            pen.hash.word(flights.len() as u64);
            for (request, flight) in flights {
                pen.flight(request, flight);
            }
        }
        pen.done()
    }
}

impl Pen {
    fn flight(&mut self, request: &RequestId, flight: &Flight) {
        let Flight {
            request: what,
            sent,
            parked,
            gives_back,
            ..
        } = flight;
        self.draw(&(request, what, sent, parked, gives_back));
    }
}

/// The order in which a picture shows what may happen.
fn place_of(happening: &Happening) -> (u8, usize, u64) {
    match happening {
        Happening::Deliver { process, request } => (0, *process, request.0),
        Happening::Answer {
            process, request, ..
        } => (1, *process, request.0),
        Happening::User { process, user } => (2, *process, *user as u64),
        Happening::Ask { process, lock, .. } => (3, *process, lock.0),
        // In the order in which they were sent.
        Happening::Late(..) => (4, 0, 0),
        _ => (5, 0, 0),
    }
}
