//! The settings that Consul's own tools read from the environment, as far as we honour them. Those
//! that we do not are refused by name: a token sent in clear because CONSUL_HTTP_SSL was overlooked
//! would be a leak.

use crate::error::{Error, Status};
use crate::sys;

/// Settings of Consul's Go client (api.go, v1.34.4) that this version cannot follow.
const NOT_YET: [&str; 11] = [
    "CONSUL_HTTP_TOKEN_FILE",
    "CONSUL_HTTP_AUTH",
    "CONSUL_HTTP_SSL",
    "CONSUL_HTTP_SSL_VERIFY",
    "CONSUL_CACERT",
    "CONSUL_CAPATH",
    "CONSUL_CLIENT_CERT",
    "CONSUL_CLIENT_KEY",
    "CONSUL_TLS_SERVER_NAME",
    "CONSUL_NAMESPACE",
    "CONSUL_PARTITION",
];

/// What the environment says.
#[derive(Default)]
pub(crate) struct Environment {
    /// CONSUL_HTTP_ADDR.
    pub(crate) address: Option<String>,
    /// CONSUL_HTTP_TOKEN.
    pub(crate) token: Option<String>,
}

impl Environment {
    /// Reads it. An empty variable counts as not set, as with Consul's own client.
    pub(crate) fn read() -> Result<Environment, Error> {
        for name in NOT_YET {
            if variable(name)?.is_some() {
                let message = format!(
                    "{name} is set, and this version does not support it yet; unset it if the \
                     connection is to be plain HTTP without it"
                );
                return Err(Error::new(Status::InvalidEnvironment, message));
            }
        }
        Ok(Environment {
            address: variable("CONSUL_HTTP_ADDR")?,
            token: variable("CONSUL_HTTP_TOKEN")?,
        })
    }
}

fn variable(name: &str) -> Result<Option<String>, Error> {
    match sys::secure_getenv(name) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => String::from_utf8(value)
            .map(Some)
            .map_err(|_| Error::new(Status::InvalidEnvironment, format!("{name} is not UTF-8"))),
    }
}

/// Takes `host:port` or `http://host:port` apart, with brackets around an IPv6 address. Without a
/// port it is HTTP's, 80, as Consul's Go client has it. The text says what is wrong.
pub(crate) fn parse_address(address: &str) -> Result<(String, u16), String> {
    let rest = match address.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => {
            return Err(format!(
                "the scheme {scheme}:// is not supported yet, only http://"
            ));
        }
        None => address,
    };
    let rest = match rest.split_once('/') {
        Some((rest, "")) => rest,
        Some(_) => return Err("a path in the address is not supported yet".to_owned()),
        None => rest,
    };
    if rest.contains('@') {
        return Err("user and password in the address are not supported".to_owned());
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => return Err("the bracket of the IPv6 address is not closed".to_owned()),
        },
        None => match rest.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets: [::1]:8500".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:%".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err("it has no host name or address".to_owned());
    }
    let port = match port {
        None => 80,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err("the port is not a number from 1 to 65535".to_owned()),
        },
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("127.0.0.1:8500", "127.0.0.1", 8500),
            ("http://127.0.0.1:8500", "127.0.0.1", 8500),
            ("http://consul.example:8500/", "consul.example", 8500),
            ("localhost", "localhost", 80),
            ("[::1]:8501", "::1", 8501),
            ("http://[fe80::1%eth0]", "fe80::1%eth0", 80),
        ] {
            assert_eq!(parse_address(text), Ok((host.to_owned(), port)), "{text}");
        }
        for bad in [
            "",
            "https://h:1",
            "unix:///run/consul.sock",
            "tcp://h:1",
            "http://h/consul",
            "h:",
            "h:0",
            "h:65536",
            "h:x",
            "::1",
            "[::1",
            "[::1]8500",
            ":8500",
            "u:p@h:1",
            "a b:1",
            "h:1\r\nX:y",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }
}
