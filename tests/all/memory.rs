//! What a large answer costs. Alone in its process, as it looks at its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::alone::ran_alone;
use crate::support::consul::until;
use crate::support::memory;
use crate::support::scripted::{Answer, Scripted};
use consul_lock::client::Client;
use consul_lock::lock::Lock;
use consul_lock::options::Options;

#[test]
fn a_list_of_all_sessions_costs_little_more_than_its_text() {
    if ran_alone(a_list_of_all_sessions_costs_little_more_than_its_text) {
        return;
    }
    const SIZE: usize = 24 << 20;
    let list = format!("[{}{{}}]", "{\"\":0},".repeat(SIZE / 7));
    let asked = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start({
        let asked = asked.clone();
        move |request| match request.target.as_str() {
            // Its answer is lost, so the session is looked for.
            "/v1/session/create" => Answer::Close,
            "/v1/session/list" => {
                asked.fetch_add(1, Ordering::SeqCst);
                Answer::reply(200, &list)
            }
            "/v1/txn" => Answer::reply(200, "{\"Results\":[],\"Errors\":null}"),
            _ => Answer::indexed(404, 5, ""),
        }
    });
    let mut options = Options::new();
    options.set("address", server.address()).expect("an option");
    let client = Client::new(Some(&options)).expect("a client");
    let mut options = Options::new();
    options.set("fair", "false").expect("an option");
    let lock = Lock::new("k", Some(&options), Some(&client)).expect("a lock");
    let before = memory("VmHWM");
    lock.acquire().expect_err("no answer");
    // The second look comes when the first one's answer was read.
    until("it is looked for", || asked.load(Ordering::SeqCst) >= 2);
    // The server has some copies of the list, too.
    let more = memory("VmHWM").saturating_sub(before);
    assert!(more < 10 * SIZE, "{} MB", more >> 20);
}
