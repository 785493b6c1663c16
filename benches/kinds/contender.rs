//! The contenders: one lock of a kind at a time, by the contract of benches/peers/README.md.

use std::fmt;
use std::io::BufRead;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::by_hand::ByHand;
use crate::common::prelude::*;

/// How often a contender says how many requests it has sent.
const OFTEN: Duration = Duration::from_millis(200);

/// What a contender takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Plain,
    /// A share of the key with a limit of 3.
    Limit,
    /// A share of the key, and in one turn of five the key alone.
    ReadWrite,
    /// The same with [`ByHand`].
    ByHand,
    /// Two of four keys, in one lock.
    Several,
}

const KINDS: [(Kind, &str, &str); 5] = [
    (Kind::Plain, "plain", "plain lock"),
    (Kind::Limit, "limit", "semaphore of 3"),
    (Kind::ReadWrite, "read-write", "read/write, 20 % writers"),
    (Kind::ByHand, "by-hand", "read/write by hand, 20 % writers"),
    (Kind::Several, "several", "several keys, 2 of 4"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, word, _) = KINDS[*self as usize];
        f.write_str(word)
    }
}

/// This program as contenders of a kind.
pub(crate) fn program(kind: Kind) -> Program {
    let this = std::env::current_exe().expect("the path of this program");
    let (_, _, name) = KINDS[kind as usize];
    Program {
        name: name.to_owned(),
        words: vec![this.into(), "contender".into()],
        more: vec![kind.to_string().into()],
        environment: Vec::new(),
    }
}

pub(crate) fn run(arguments: &[String]) {
    let [address, key, kind] = arguments else {
        panic!("contender ADDRESS KEY KIND")
    };
    let kind = KINDS.iter().find(|(_, word, _)| word == kind);
    let (kind, _, _) = *kind.expect("a kind");
    consul_lock::defaults::set("lock_key_pattern", "%s").expect("a pattern");
    let client = client(address, &[]);
    let sent = Arc::new(AtomicU64::new(0));
    let tell_requests = |mine: Client, told: Arc<AtomicU64>| {
        thread::spawn(move || {
            loop {
                thread::sleep(OFTEN);
                let of_library: u64 = stats(&mine)["requests"]
                    .as_object()
                    .expect("an object")
                    .values()
                    .filter_map(Json::as_u64)
                    .sum();
                println!("requests 0 {}", of_library + told.load(Ordering::Relaxed));
            }
        });
    };
    let mut chance = Chance(u64::from(std::process::id()));
    let mut by_hand = ByHand::new(address, key, sent.clone());
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        assert_eq!((words[0], words.len()), ("turns", 4), "{line}");
        let hold = Duration::from_millis(number(2));
        tell_requests(client.clone(), sent.clone());
        for _ in 0..number(3) {
            let writes = chance.below(5) == 0;
            match kind {
                Kind::ByHand => turn(
                    hold,
                    || by_hand.enter(writes).map(|()| &mut by_hand),
                    |lock| lock.leave(writes),
                ),
                _ => {
                    let lock = make(kind, &client, key, writes, &mut chance);
                    let acquire = || lock.acquire().map(|()| &lock);
                    let text = |error: Error| error.message;
                    turn(
                        hold,
                        || acquire().map_err(text),
                        |lock| lock.release().map_err(text),
                    );
                }
            }
        }
    }
    // Not by a return: a thread goes on.
    exit(0);
}

fn turn<L>(
    hold: Duration,
    acquire: impl FnOnce() -> Result<L, String>,
    release: impl FnOnce(L) -> Result<(), String>,
) {
    let begun = clock();
    let lock = match acquire() {
        Ok(lock) => lock,
        Err(why) => return println!("failed 0 {why}"),
    };
    println!("acquired 0 {begun} {}", clock());
    thread::sleep(hold);
    let begun = clock();
    if let Err(why) = release(lock) {
        println!("failed 0 {why}");
    }
    println!("released 0 {begun} {}", clock());
}

fn make(kind: Kind, client: &Client, key: &str, writes: bool, chance: &mut Chance) -> Lock {
    let mut options = Options::new();
    let mut set = |name, value| options.set(name, value).expect("an option");
    set("acquire_timeout_ms", "120000");
    match kind {
        Kind::Limit => {
            set("mode", "share");
            set("limit", "3");
        }
        Kind::ReadWrite if !writes => set("mode", "share"),
        _ => {}
    }
    let keys = match kind {
        Kind::Several => {
            let first = chance.below(4);
            let second = (first + 1 + chance.below(3)) % 4;
            vec![format!("{key}/{first}"), format!("{key}/{second}")]
        }
        _ => vec![key.to_owned()],
    };
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    Lock::new_all(&keys, Some(&options), Some(client)).expect("a lock")
}

/// Numbers by chance, others in each process.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}
