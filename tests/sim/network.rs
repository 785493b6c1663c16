//! What may happen to a request between a process and Consul.

use std::time::Duration;

use super::plan::Random;

/// How unkind one schedule is.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// How many of 1,000 requests meet a fault.
    pub(super) faults: u64,
    /// The typical time of one way.
    pub(super) delay: Duration,
    /// How late a lost request may still be applied.
    pub(super) latest: Duration,
}

impl Weather {
    pub(super) fn calm() -> Weather {
        Weather {
            faults: 0,
            delay: Duration::from_micros(300),
            latest: Duration::ZERO,
        }
    }

    pub(super) fn random(random: &mut Random) -> Weather {
        Weather {
            faults: [0, 10, 50, 150, 400][random.below(5) as usize],
            delay: Duration::from_micros([200, 2_000, 50_000, 900_000][random.below(4) as usize]),
            latest: Duration::from_secs([1, 15, 60][random.below(3) as usize]),
        }
    }
}

/// The fate of one request. All delays count from the sending.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Consul applies and answers the request.
    Answered {
        applied: Duration,
        answered: Duration,
    },
    /// The connection is refused, and nothing is sent.
    Refused,
    /// A server says at once that it did not apply the request.
    Declined {
        answered: Duration,
        status: u16,
        text: &'static str,
    },
    /// The client gets no answer, or one that says nothing about the outcome. Consul applies the request later or
    /// never, once or twice.
    Lost {
        noticed: Option<Duration>,
        status: Option<(u16, &'static str)>,
        applied: Vec<Duration>,
    },
}

const DECLINED: [(u16, &str); 5] = [
    (500, "No cluster leader"),
    (
        500,
        "rpc error getting client: failed to get conn: dial tcp 127.0.0.1:8300: connect: connection refused",
    ),
    (
        429,
        "Your IP is issuing too many concurrent connections, please rate limit your calls\n",
    ),
    (503, "rate limit exceeded, try again later"),
    (500, "Not ready to serve consistent reads"),
];

const TELLS_NOTHING: [(u16, &str); 3] = [
    (500, "leadership lost while committing log"),
    (500, "rpc error making call: EOF"),
    (500, "i/o deadline reached"),
];

impl Fate {
    pub(super) fn random(random: &mut Random, weather: &Weather) -> Fate {
        let way = |random: &mut Random| {
            let usual = random.duration(weather.delay * 2);
            // One in thirty is ten times slower.
            if weather.faults > 0 && random.chance(33) {
                usual * 10
            } else {
                usual
            }
        };
        let applied = way(random);
        let answered = applied + way(random);
        if !random.chance(weather.faults) {
            return Fate::Answered { applied, answered };
        }
        match random.below(10) {
            0 => Fate::Refused,
            1 => {
                let (status, text) = DECLINED[random.below(5) as usize];
                let answered = random.duration(Duration::from_secs(7));
                Fate::Declined {
                    answered,
                    status,
                    text,
                }
            }
            2 => {
                let (status, text) = TELLS_NOTHING[random.below(3) as usize];
                let applied = random.chance(500).then_some(applied).into_iter().collect();
                Fate::Lost {
                    noticed: Some(answered),
                    status: Some((status, text)),
                    applied,
                }
            }
            // Consul never applies the request.
            3 => Fate::Lost {
                noticed: random.chance(500).then_some(answered),
                status: None,
                applied: vec![],
            },
            // Consul applies the request, and the answer is lost.
            4 | 5 => Fate::Lost {
                noticed: random.chance(700).then_some(answered),
                status: None,
                applied: vec![applied],
            },
            // The request is held up, and applied much later: once, or now and once more.
            6 | 7 => Fate::Lost {
                noticed: random.chance(700).then_some(answered),
                status: None,
                applied: vec![random.duration(weather.latest)],
            },
            8 => Fate::Lost {
                noticed: random.chance(700).then_some(answered),
                status: None,
                applied: vec![applied, applied + random.duration(weather.latest)],
            },
            // The answer is slow.
            _ => {
                let applied = random.duration(Duration::from_secs(9));
                let answered = applied + random.duration(Duration::from_secs(9));
                Fate::Answered { applied, answered }
            }
        }
    }
}
