//! Replies in bytes: the head and the body of HTTP, through a socket. The library takes a reply whole or not at all, and
//! ends when the other side has ended.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::{is_fit_to_show, reading};
use crate::clock::Time;
use crate::consul::address::Address;
use crate::consul::connect::{Endpoint, Route};
use crate::consul::credentials::CredentialSettings;
use crate::consul::http::{Failure, HttpRequest, Method};
use crate::consul::interrupt::Interrupt;
use crate::consul::transport::Wire;

/// What the server answers to every request.
type Answers = Arc<Mutex<Vec<u8>>>;

/// A server in this process, and the way to it.
fn server() -> &'static (Arc<Route>, Answers) {
    static SERVER: OnceLock<(Arc<Route>, Answers)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let path =
            std::env::temp_dir().join(format!("consul_lock-fuzz-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        let answers = Answers::default();
        let said = answers.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.expect("a connection");
                let mut request = Vec::new();
                let mut part = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match connection.read(&mut part) {
                        Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
                        _ => break,
                    }
                }
                let answer = said.lock().expect("no panic").clone();
                let _ = connection.write_all(&answer);
            }
        });
        let address = Address::parse(&format!("unix://{}", path.display())).expect("an address");
        let route = Route::new(Endpoint {
            addresses: vec![address],
            origin: String::new(),
            tls: None,
            credentials: CredentialSettings::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
        });
        (route, answers)
    })
}

pub(super) fn property(data: &[u8]) {
    // The test of the corpora and another one may want the server at the same time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let (route, answers) = server();
    answers.lock().expect("no panic").clone_from(&data.to_vec());
    let request = HttpRequest {
        method: Method::Get,
        target: "/v1/kv/k".to_owned(),
        body: None,
    };
    let mut wire = Wire::new(route);
    let by = Time::now() + Duration::from_secs(20);
    let exchange = wire.perform(&request, by, &Interrupt::default());
    assert!(Time::now() < by, "the reply has ended");
    assert!(exchange.sent.is_some());
    match exchange.result {
        Ok(reply) => {
            let read = reading::of(data);
            assert_eq!((reply.status, reply.body), (read.status, read.body));
        }
        Err(Failure::Unknown(why) | Failure::TooLarge(why)) => {
            assert!(is_fit_to_show(&why) && why.len() < 500, "{why}");
        }
        Err(other) => panic!("the request was sent: {other:?}"),
    }
}
