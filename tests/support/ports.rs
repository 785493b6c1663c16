//! Ports that no program uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the range from which systems take the ports of outgoing connections: a port of that range
/// could be taken by a client while its server is down for a moment.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Ports of loopback that were free for TCP and UDP a moment ago, none of them given out before by
/// this process. Another process may still take one first.
pub(crate) fn free<const N: usize>() -> [u16; N] {
    [(); N].map(|()| one())
}

fn one() -> u16 {
    // Each process begins somewhere else.
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_or(0, |since| since.subsec_nanos());
    let begin = (clock ^ std::process::id().wrapping_mul(7919)) % COUNT;
    let _ = NEXT.compare_exchange(0, begin + 1, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = u16::try_from(port).expect("a port");
        let at = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
