//! What the deaths of waiters cost the other contenders.

use crate::common::prelude::*;
use crate::contender;

use super::fairness::ALL_THE_TIME;
use super::handoff::knows_fair;

const CONTENDERS: usize = 10;
const TIME: Duration = Duration::from_secs(16);
const BETWEEN_DEATHS: Duration = Duration::from_secs(2);

pub(crate) fn measure(report: &mut Report, servers: &Servers) {
    let mut table = Table::new(
        "a random waiter of 10 killed every 2 s, and another process in its place",
        &["server", "waiting"],
        &[
            ("grants per second", ""),
            ("without deaths", ""),
            ("longest time without a grant", "ms"),
            ("deaths", ""),
        ],
    );
    one(&mut table, servers, "default", &[]);
    if knows_fair() {
        one(&mut table, servers, "fair=false", &["fair=false"]);
    }
    report.table(table);
}

fn one(table: &mut Table, servers: &Servers, name: &str, options: &[&str]) {
    let quiet = run(servers, options, false);
    let deadly = run(servers, options, true);
    table.row(
        &[servers.name(), name],
        vec![
            Cell::new(deadly.per_second, 1),
            Cell::new(quiet.per_second, 1),
            Cell::new(deadly.longest_gap, 0),
            Cell::new(deadly.deaths as f64, 0),
        ],
    );
}

struct Outcome {
    per_second: f64,
    longest_gap: f64,
    deaths: usize,
}

fn run(servers: &Servers, options: &[&str], deadly: bool) -> Outcome {
    let (consul, key) = (
        servers.consul(),
        format!("bench/deaths-{}-{deadly}", options.len()),
    );
    let program = contender::program("a contender", 1, options);
    let mut crowd = Crowd::gather(&program, consul.address(), &key, CONTENDERS, 1);
    for contender in 0..CONTENDERS {
        crowd.turns(contender, HOLD_MS, ALL_THE_TIME);
    }
    let mut record = Record::default();
    let mut deaths = 0;
    let begun = Instant::now();
    // A run without deaths only sets the measure.
    let time = if deadly { TIME } else { TIME / 2 };
    let end = begun + time;
    let mut next_death = begun + BETWEEN_DEATHS;
    // A new contender gets its order once it says that it is ready. Which of the new ones said so does not matter.
    let mut replaced = Vec::new();
    while Instant::now() < end {
        let said = crowd.next(if deadly { end.min(next_death) } else { end });
        if let Some(Said::Ready) = said {
            let contender = replaced.pop().expect("one that was started");
            crowd.turns(contender, HOLD_MS, ALL_THE_TIME);
        }
        if let Some(said) = &said {
            record.note(said);
        }
        if deadly && Instant::now() >= next_death {
            next_death += BETWEEN_DEATHS;
            deaths += 1;
            let holds = record.grants.last().map(|grant| grant.contender);
            // Every place of the line in turn, and never the contender that seems to hold the lock.
            let victim = (0..CONTENDERS).map(|at| (deaths * 7 + at) % CONTENDERS);
            let victim = victim
                .into_iter()
                .find(|&it| Some(it) != holds)
                .expect("a waiter");
            let pid = crowd.pid(victim);
            crowd.kill(victim);
            free_if_held_by(servers, &key, pid);
            crowd.replace(victim);
            replaced.push(victim);
        }
    }
    drop(crowd);
    servers.sweep();
    record.sort();
    let pairs = record.grants.windows(2);
    let gaps = pairs.map(|pair| ms_between(pair[0].acquired, pair[1].acquired));
    Outcome {
        per_second: record.grants.len() as f64 / time.as_secs_f64(),
        longest_gap: gaps.fold(0.0, f64::max),
        deaths,
    }
}

/// Ends the session of a victim that had just got the lock: the lock of a dead holder would stay for up to twice the
/// TTL, which this bench does not measure.
fn free_if_held_by(servers: &Servers, key: &str, pid: u32) {
    let consul = servers.consul();
    // Consul has done by then what the victim sent before its death.
    std::thread::sleep(Duration::from_millis(20));
    let Some(holder) = consul.holder(key) else {
        return;
    };
    let is_dead = consul.sessions().iter().any(|session| {
        let name = session["Name"].as_str().unwrap_or_default();
        session["ID"] == holder.as_str() && name.contains(&format!(":{pid} "))
    });
    if is_dead {
        consul.destroy(&holder);
    }
}
