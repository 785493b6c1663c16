//! The other side: contenders as threads of a process of their own, told what to do by the contract of
//! benches/peers/README.md. Behind address and key come options of the locks, as NAME=VALUE, and
//! `threads=COUNT`.

use std::io::BufRead;
use std::process::exit;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::common::prelude::*;
use consul_lock::client::set_default_client;

/// An order to take the lock `count` times, and to hold it each time for `hold`.
struct Order {
    count: usize,
    hold: Duration,
}

/// This program as contenders.
pub(crate) fn program(name: &str, threads: usize, options: &[&str]) -> Program {
    let this = std::env::current_exe().expect("the path of this program");
    let mut more = vec![format!("threads={threads}").into()];
    more.extend(options.iter().map(Into::into));
    Program {
        name: name.to_owned(),
        words: vec![this.into(), "contender".into()],
        more,
        environment: Vec::new(),
    }
}

/// The options of a lock on the server at `address`.
pub(crate) fn options(address: &str, more: &[String]) -> Options {
    let mut of_client = Options::new();
    of_client.set("address", address).expect("an address");
    let client = Client::new(Some(&of_client)).expect("a client");
    let mut options = Options::new();
    set_default_client(Some(client));
    for option in more {
        let (name, value) = option.split_once('=').expect("NAME=VALUE");
        options.set(name, value).expect("an option");
    }
    options
}

pub(crate) fn run(arguments: &[String]) {
    let [address, key, threads, more @ ..] = arguments else {
        panic!("contender ADDRESS KEY threads=COUNT [NAME=VALUE...]")
    };
    let threads = threads
        .strip_prefix("threads=")
        .and_then(|count| count.parse().ok());
    let threads: usize = threads.expect("a count");
    consul_lock::defaults::set("lock_key_pattern", "%s").expect("a pattern");
    let mut options = options(address, more);
    // Long enough for the longest line; a bench must end all the same.
    options
        .set_int("acquire_timeout_ms", 120_000)
        .expect("in range");
    let start = |name| {
        let (tell, orders) = channel();
        let (key, options) = (key.clone(), options.clone());
        let work = move || obey(name, &key, &options, &orders);
        let small = std::thread::Builder::new().stack_size(256 << 10);
        small.spawn(work).expect("a thread");
        tell
    };
    let contenders: Vec<Sender<Order>> = (0..threads).map(start).collect();
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| -> usize { words[at].parse().expect("a number") };
        assert_eq!((words[0], words.len()), ("turns", 4), "{line}");
        let (name, hold) = (number(1), Duration::from_millis(number(2) as u64));
        let count = number(3);
        contenders[name]
            .send(Order { count, hold })
            .expect("a thread that listens");
    }
    // Not by a return: the contenders may wait for long.
    exit(0);
}

fn obey(name: usize, key: &str, options: &Options, orders: &Receiver<Order>) {
    for Order { count, hold } in orders {
        for _ in 0..count {
            let lock = Lock::new(key, Some(options), None).expect("a lock");
            let begun = clock();
            if let Err(error) = lock.acquire() {
                println!("failed {name} {}", error.message);
                continue;
            }
            println!("acquired {name} {begun} {}", clock());
            std::thread::sleep(hold);
            let begun = clock();
            if let Err(error) = lock.release() {
                println!("failed {name} {}", error.message);
            }
            println!("released {name} {begun} {}", clock());
        }
    }
}
