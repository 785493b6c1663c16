//! Takes and gives back a lock as it is told, with rs-consul. The contract is in ../../README.md.

use std::io::BufRead;
use std::time::Duration;

use rs_consul::{Config, Consul, ConsulError, Lock, LockRequest, LockWatchRequest};

fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes into `time` only.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What is dropped releases the lock.
async fn acquire<'a>(consul: &'a Consul, key: &str) -> Result<Lock<'a>, ConsulError> {
    loop {
        let request = LockRequest {
            key,
            ..Default::default()
        };
        let index = match consul.get_lock(request, b"").await {
            Err(ConsulError::LockAcquisitionFailure(index)) => index,
            outcome => return outcome,
        };
        let watch = LockWatchRequest {
            key,
            index: Some(index),
            wait: Duration::from_secs(10),
            ..Default::default()
        };
        // The key may be gone.
        let _ = consul.watch_lock(watch).await;
    }
}

async fn turn(consul: &Consul, key: &str, name: u64, hold: Duration) {
    let begun = now();
    let lock = match acquire(consul, key).await {
        Ok(lock) => lock,
        Err(error) => return println!("failed {name} {error:?}"),
    };
    println!("acquired {name} {begun} {}", now());
    tokio::time::sleep(hold).await;
    let begun = now();
    drop(lock);
    println!("released {name} {begun} {}", now());
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let config = Config {
        address: format!("http://{}", arguments[1]),
        ..Default::default()
    };
    let (consul, key) = (Consul::new(config), &arguments[2]);
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| -> u64 { words[at].parse().expect("a number") };
        match words[0] {
            "turns" => {
                for _ in 0..number(3) {
                    turn(&consul, key, number(1), Duration::from_millis(number(2))).await;
                }
            }
            "cycles" => {
                let mut times = String::new();
                for _ in 0..number(1) {
                    let begun = now();
                    drop(acquire(&consul, key).await.expect("a lock"));
                    times += &format!(" {}", now() - begun);
                }
                println!("cycles{times}");
            }
            _ => {}
        }
    }
}
