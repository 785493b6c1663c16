//! Where an agent's HTTP API is, in the forms that Consul's own clients take.

use std::fmt;
use std::path::PathBuf;

/// The address of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    pub(crate) destination: Destination,
    /// The beginning of every path of the API: empty, or with a slash at its beginning and none at its end.
    pub(crate) prefix: String,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Tcp {
        /// A name or an address; an IPv6 address without brackets.
        host: String,
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The longest path of a Unix socket: `sun_path` with its final NUL (unix(7)).
const MAX_UNIX_PATH: usize = 107;

impl Address {
    /// Takes addresses with commas between them. The error counts the wrong address and does not quote it: the
    /// address may have a password.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Address>, String> {
        let count = text.split(',').count();
        let one = |(at, part): (usize, &str)| {
            Address::parse(part.trim()).map_err(|why| match count {
                1 => why,
                _ => format!("number {} of {count}: {why}", at + 1),
            })
        };
        text.split(',').enumerate().map(one).collect()
    }

    /// Takes one address apart. An address without a port has the port of its scheme, as in Consul's Go client.
    /// The error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(("unix", path)) => return Address::unix(path),
            Some(_) => {
                return Err("its scheme is not http://, https:// or unix://".to_owned());
            }
            None => (false, text),
        };
        let (rest, prefix) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let prefix = prefix.trim_end_matches('/');
        check_path(prefix)?;
        if rest.contains('@') {
            return Err("it has a user or a password, which cannot stand there".to_owned());
        }
        let (host, port) = host_and_port(rest)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Address {
            tls,
            destination: Destination::Tcp { host, port },
            prefix: prefix.to_owned(),
        })
    }

    fn unix(path: &str) -> Result<Address, String> {
        if path.is_empty() {
            return Err("it has no path to a socket".to_owned());
        }
        if path.len() > MAX_UNIX_PATH {
            return Err(format!(
                "the path of a Unix socket has at most {MAX_UNIX_PATH} bytes, this one has {}",
                path.len()
            ));
        }
        Ok(Address {
            tls: false,
            destination: Destination::Unix(path.into()),
            prefix: String::new(),
        })
    }

    /// Whether the address is a host and a port, and nothing else.
    pub(crate) fn is_plain_host(&self) -> bool {
        !self.tls && self.prefix.is_empty() && matches!(self.destination, Destination::Tcp { .. })
    }

    /// The Host header, as in Consul's Go client: `host:port`, with brackets where a URL wants them, and without
    /// a zone, which means something on this machine alone.
    pub(crate) fn authority(&self) -> String {
        match &self.destination {
            Destination::Tcp { host, port } => {
                let plain = host.split('%').next().unwrap_or_default();
                host_at_port(plain, *port)
            }
            Destination::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn host_at_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.destination, self.tls) {
            (Destination::Unix(path), false) => write!(f, "unix://{}", path.display()),
            (Destination::Unix(path), true) => write!(f, "unix://{} (TLS)", path.display()),
            (Destination::Tcp { host, port }, tls) => {
                let scheme = match tls {
                    true => "https://",
                    // What stands before these characters would be the scheme.
                    false if self.prefix.contains("://") => "http://",
                    false => "",
                };
                write!(f, "{scheme}{}{}", host_at_port(host, *port), self.prefix)
            }
        }
    }
}

/// Checks the beginning of every path of the API.
fn check_path(path: &str) -> Result<(), String> {
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:@/".contains(&b);
    let is_hex = |at: usize| path.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let mut percents = path.match_indices('%');
    if !path.bytes().all(in_path) || !percents.all(|(at, _)| is_hex(at + 1) && is_hex(at + 2)) {
        return Err("its path has characters that a URL cannot have there".to_owned());
    }
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    if plain
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err("its path has a segment . or ..".to_owned());
    }
    Ok(())
}

/// `host`, `host:port`, with brackets around an IPv6 address.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => return Err("the bracket of the IPv6 address is not closed".to_owned()),
        },
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets: [::1]:8500".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    // A percent sign begins the zone of a link-local address, in a URL as %25 (RFC 6874).
    let host = match host.split_once("%25") {
        Some((address, zone)) if text.starts_with('[') && !zone.is_empty() => {
            &format!("{address}%{zone}")
        }
        _ => host,
    };
    // Only an IPv6 address has colons, and a zone.
    let marks: &[u8] = if text.starts_with('[') && host.contains(':') {
        b"-._:%"
    } else {
        b"-._"
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || marks.contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err("it has no host name or address".to_owned());
    }
    let port = match port.map(str::parse) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err("the port is not a number from 1 to 65535".to_owned()),
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address() {
        for (text, tls, host, port, prefix) in [
            ("127.0.0.1:8500", false, "127.0.0.1", 8500, ""),
            ("http://127.0.0.1:8500", false, "127.0.0.1", 8500, ""),
            ("http://c.example:8500/", false, "c.example", 8500, ""),
            ("localhost", false, "localhost", 80, ""),
            ("[::1]:8501", false, "::1", 8501, ""),
            ("http://[fe80::1%eth0]", false, "fe80::1%eth0", 80, ""),
            ("[fe80::1%25eth0]:8500", false, "fe80::1%eth0", 8500, ""),
            ("[fe80::1%252]:8500", false, "fe80::1%2", 8500, ""),
            ("[fe80::1%25]:8500", false, "fe80::1%25", 8500, ""),
            ("https://c.example", true, "c.example", 443, ""),
            ("https://10.0.0.1:8501/a/b/", true, "10.0.0.1", 8501, "/a/b"),
            ("http://h/a%20b/..c", false, "h", 80, "/a%20b/..c"),
            ("c.example/consul", false, "c.example", 80, "/consul"),
        ] {
            let address = Address::parse(text).expect(text);
            let destination = Destination::Tcp {
                host: host.to_owned(),
                port,
            };
            assert_eq!(
                (address.tls, &address.destination, &*address.prefix),
                (tls, &destination, prefix)
            );
        }
        let socket = Address::parse("unix:///run/consul.sock").expect("a socket");
        assert_eq!(
            socket.destination,
            Destination::Unix("/run/consul.sock".into())
        );
        assert_eq!(socket.authority(), "localhost");
    }

    #[test]
    fn a_zone_is_shown_and_not_sent() {
        let zoned = Address::parse("https://[fe80::1%25eth0]:8501/a").expect("an address");
        assert_eq!(zoned.authority(), "[fe80::1]:8501");
        assert_eq!(zoned.to_string(), "https://[fe80::1%eth0]:8501/a");
        let plain = Address::parse("[::1]:8500").expect("an address");
        assert_eq!(
            (plain.authority(), plain.to_string()),
            ("[::1]:8500".to_owned(), "[::1]:8500".to_owned())
        );
    }

    #[test]
    fn what_is_no_address() {
        let long = format!("unix:///{}", "x".repeat(MAX_UNIX_PATH));
        let without_spaces = "tcp://h:1 HTTP://h:1 h: h:0 h:65536 h:x ::1 [::1 [::1]8500 :8500 u:p@h:1 http:// \
             http://h/a?b http://h/a#b http://h/%zz http://h/a%2 http://h/a/../b http://h/a/%2E%2e http://h/./a \
             http://a%41:1 http://[a%250] [a%0]:1 unix:// h:1,";
        let others = ["", "a b:1", "h:1\r\nX:y", "http://h/a b", long.as_str()];
        for bad in without_spaces.split(' ').chain(others) {
            assert!(Address::parse_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_says_which_one_is_wrong() {
        let list = Address::parse_list("a:1, https://b/c,unix:///d").expect("three");
        let shown: Vec<String> = list.iter().map(Address::to_string).collect();
        assert_eq!(shown, ["a:1", "https://b:443/c", "unix:///d"]);
        let why = Address::parse_list("a:1,b:x").expect_err("a port");
        assert!(why.starts_with("number 2 of 2: the port"), "{why}");
    }
}
