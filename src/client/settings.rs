//! The settings of a client, checked, from its options, the environment and files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::consul::address::{Address, Destination};
use crate::consul::connect::Endpoint;
use crate::consul::credentials::{self, CredentialSettings};
use crate::consul::encode::{Scope, encode};
use crate::consul::errand::{self, Undone};
use crate::consul::http::HttpRequest;
use crate::consul::secrets::Secret;
use crate::consul::tls::{self, Tls};
use crate::core::SessionNode;
use crate::core::messages::Request;
use crate::error::{Error, Status};
use crate::log::{self, Level};
use crate::options::{OptionValues, Origin, Setting};

/// The time limit for reading the files that the options name.
const FILES: Duration = Duration::from_secs(5);

/// The settings of a client, which never change.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoint: Endpoint,
    pub(super) scope: Scope,
    /// The option `session_name`: what the names of sessions begin with.
    pub(super) session_name: Option<String>,
    pub(super) session_node: Option<SessionNode>,
    pub(super) request_timeout: Duration,
    pub(super) release_timeout: Duration,
    pub(super) max_connections: usize,
}

impl Settings {
    /// Reads the files that the options name, and sends nothing.
    pub(super) fn new(settings: &OptionValues) -> Result<Settings, Error> {
        let ms = |name| Duration::from_millis(settings.unsigned(name));
        let addresses = addresses(settings)?;
        let files = Arc::new(tls::TlsSettings::new(settings)?);
        let is_spoken = addresses.iter().any(|address| address.tls);
        // The files are read also where no address speaks TLS, as Consul's own clients do: so an error in them shows.
        let tls = match is_spoken || files.names_any() {
            true => Some(load(&files)?).filter(|_| is_spoken),
            false => None,
        };
        let text = |name| settings.text(name).map(|setting| setting.value);
        let scope = Scope {
            datacenter: text("datacenter"),
            namespace: text("namespace"),
            partition: text("partition"),
            flags: settings.unsigned("flags"),
            lock_delay: ms("lock_delay_ms"),
            session_checks: checks(settings)?,
        };
        Ok(Settings {
            session_node: session_node(settings, &addresses, &scope)?,
            endpoint: Endpoint {
                addresses,
                origin: origin(settings),
                tls: tls.map(|tls| (files, tls)),
                credentials: credentials(settings)?,
                proxy: proxy(settings)?,
                connect_timeout: ms("connect_timeout_ms"),
            },
            scope,
            session_name: text("session_name"),
            request_timeout: ms("request_timeout_ms"),
            release_timeout: ms("release_timeout_ms"),
            max_connections: usize::try_from(settings.unsigned("max_connections"))
                .unwrap_or(usize::MAX),
        })
    }
}

/// Reads files on a thread of their own, which is left behind if it takes too long; `which` names the files.
fn read<T: Clone + Send + 'static>(
    which: &str,
    wrong: impl FnOnce(String) -> Error,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match errand::aside(FILES, work) {
        Ok(result) => result,
        Err(Undone::NoThread(why)) => Err(Error::new(
            Status::NoResources,
            format!("{which} cannot be read: {why}"),
        )),
        Err(Undone::Late | Undone::Interrupted) => Err(wrong(format!(
            "{which} was not read within {} s (is a file server gone?)",
            FILES.as_secs()
        ))),
    }
}

fn load(files: &Arc<tls::TlsSettings>) -> Result<Tls, Error> {
    let reading = files.clone();
    let tls = read(
        &files.shown(),
        |why| files.wrong(why),
        move || reading.load(),
    )?;
    if !files.verifies() {
        let line = "the certificate of Consul is not verified (ssl_verify is false): a program between \
                    the library and Consul can read the token";
        log::write(Level::Warn, line);
    }
    Ok(tls)
}

fn addresses(settings: &OptionValues) -> Result<Vec<Address>, Error> {
    let setting = settings.text_or_default("address");
    let mut addresses = Address::parse_list(setting.value).map_err(|why| {
        setting.wrong(format!(
            "{why}; an address is host:port, http://…, https://… or unix:///path (a user and a password \
             for it go into http_auth, CONSUL_HTTP_AUTH)"
        ))
    })?;
    for address in &mut addresses {
        // As in Consul's Go client, http:// does not undo the option.
        address.tls |= settings.bool("ssl");
    }
    Ok(addresses)
}

/// Where the addresses come from, for messages.
fn origin(settings: &OptionValues) -> String {
    match settings.text("address") {
        Some(setting) => format!("from {}", setting.origin),
        None => "the default; set CONSUL_HTTP_ADDR or the option address".to_owned(),
    }
}

/// The token and the user. The option for the token wins over a file, and a file over the environment.
fn credentials(settings: &OptionValues) -> Result<CredentialSettings, Error> {
    let given = settings.text("token");
    let by_hand = |setting: &Setting<String>| matches!(setting.origin, Origin::Option(_));
    let (token, file) = match (given, settings.text("token_file")) {
        (Some(token), file) if by_hand(&token) || file.is_none() => {
            let secret = credentials::token(&token.value).map_err(|why| token.wrong(why))?;
            (Some(secret).filter(|secret| !secret.0.is_empty()), None)
        }
        (_, Some(file)) => {
            let path = PathBuf::from(&file.value);
            let (reading, setting) = (path.clone(), file.clone());
            let token = read(
                &file.value,
                |why| file.wrong(why),
                move || credentials::read_file(&reading).map_err(|why| setting.wrong(why)),
            )?;
            (Some(token), Some(path))
        }
        (_, None) => (None, None),
    };
    let basic = settings.text("http_auth");
    let basic = basic.map(|auth| Secret(auth.value));
    Ok(CredentialSettings { token, file, basic })
}

fn proxy(settings: &OptionValues) -> Result<Option<Address>, Error> {
    let Some(proxy) = settings.text("proxy") else {
        return Ok(None);
    };
    match Address::parse(&proxy.value) {
        Ok(address) if address.is_plain_host() => Ok(Some(address)),
        Ok(_) => Err(proxy.wrong("a proxy is http://host:port")),
        Err(why) => Err(proxy.wrong(format!(
            "{why}; a proxy is http://host:port, without user and password"
        ))),
    }
}

/// The longest name of a node that the option takes.
const MAX_NODE: usize = 128;

fn session_node(
    settings: &OptionValues,
    addresses: &[Address],
    scope: &Scope,
) -> Result<Option<SessionNode>, Error> {
    let Some(node) = settings.text("session_node") else {
        return Ok(None);
    };
    // DNS, policies and a shell take these characters as they are.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if node.value.len() > MAX_NODE || !node.value.bytes().all(plain) {
        return Err(node.wrong(format!(
            "the name of a node has letters, digits and -._, {MAX_NODE} at most"
        )));
    }
    if !scope.session_checks.is_empty() {
        return Err(node.wrong(
            "this node has no agent, and so no checks: session_node and session_checks do not go together",
        ));
    }
    let name: Arc<str> = node.value.into();
    let registration = addresses.first().and_then(|address| {
        let request = Request::RegisterNode { node: name.clone() };
        Some(command(&encode(&request, scope)?, address))
    });
    Ok(Some(SessionNode {
        name,
        registration: registration.unwrap_or_default(),
    }))
}

/// A request as a command for a terminal.
fn command(request: &HttpRequest, address: &Address) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let scheme = if address.tls { "https" } else { "http" };
    let (authority, prefix) = (address.authority(), &address.prefix);
    let url = format!("{scheme}://{authority}{prefix}{}", request.target);
    let socket = match &address.destination {
        Destination::Unix(path) => format!(" --unix-socket {}", quoted(&path.to_string_lossy())),
        Destination::Tcp { .. } => String::new(),
    };
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default());
    format!(
        "curl{socket} -X PUT -H \"X-Consul-Token: $CONSUL_HTTP_TOKEN\" -d {} {}",
        quoted(&body),
        quoted(&url)
    )
}

fn checks(settings: &OptionValues) -> Result<Vec<String>, Error> {
    let Some(checks) = settings
        .text("session_checks")
        .filter(|c| !c.value.is_empty())
    else {
        return Ok(Vec::new());
    };
    let ids: Vec<String> = checks
        .value
        .split(',')
        .map(|id| id.trim().to_owned())
        .collect();
    match ids.iter().any(String::is_empty) {
        true => Err(checks.wrong("an id of a check is empty")),
        false => Ok(ids),
    }
}
