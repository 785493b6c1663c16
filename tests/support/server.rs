//! What the proxy and the scripted server share: a port of loopback, a thread for each connection,
//! and an end to all of them when the server is dropped.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

/// Dropped, it accepts no more, its connections are closed, and nothing that was to happen later
/// happens.
pub(crate) struct Server {
    address: String,
    end: Arc<End>,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Has `serve` answer each connection, on a thread of its own. Its error is the end of a
    /// connection, which is what these servers are for.
    pub(crate) fn start(
        serve: impl Fn(&Arc<TcpStream>, &Arc<End>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = Server {
            address,
            end: Arc::default(),
            accepted: Arc::default(),
        };
        let (end, accepted, serve) = (
            Arc::clone(&server.end),
            Arc::clone(&server.accepted),
            Arc::new(serve),
        );
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.has_come() {
                    return;
                }
                accepted.fetch_add(1, Ordering::SeqCst);
                let _ = client.set_nodelay(true);
                let client = Arc::new(client);
                end.close_then(&client);
                let (end, serve) = (Arc::clone(&end), Arc::clone(&serve));
                std::thread::spawn(move || drop(serve(&client, &end)));
            }
        });
        server
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.come();
        // Wakes the accept, so that the port is given back.
        let _ = TcpStream::connect(&self.address);
    }
}

/// The end of a server, for its threads that wait for something else.
#[derive(Default)]
pub(crate) struct End {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    has_come: bool,
    sockets: Vec<Weak<TcpStream>>,
}

impl End {
    fn has_come(&self) -> bool {
        self.state.lock().expect("not poisoned").has_come
    }

    fn come(&self) {
        let mut state = self.state.lock().expect("not poisoned");
        state.has_come = true;
        for socket in state.sockets.drain(..).filter_map(|it| it.upgrade()) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// Has the end close this socket, so that no thread goes on reading from it.
    pub(crate) fn close_then(&self, socket: &Arc<TcpStream>) {
        let mut state = self.state.lock().expect("not poisoned");
        if state.has_come {
            let _ = socket.shutdown(Shutdown::Both);
        }
        state.sockets.retain(|socket| socket.strong_count() > 0);
        state.sockets.push(Arc::downgrade(socket));
    }

    /// Lets time pass; an error if the end comes first.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        let state = self.state.lock().expect("not poisoned");
        let waited = self
            .changed
            .wait_timeout_while(state, time, |state| !state.has_come);
        let (state, _) = waited.expect("not poisoned");
        if state.has_come {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// Has the last close of this socket send RST instead of FIN.
#[allow(unsafe_code)] // std cannot set SO_LINGER yet
pub(crate) fn reset_on_close(socket: &TcpStream) {
    use std::os::fd::AsRawFd as _;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and `linger` is of the size that is told.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
}
