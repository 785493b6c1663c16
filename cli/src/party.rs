//! A session that holds a lock or waits for it, in words: the program behind the session, where its name tells.

use consul_lock::client::{Holder, Party, Role};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value as Json, json};

use crate::when;

/// What the name of a session of this library says: `consul_lock PROGRAM@HOST:PID NONCE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// The name of the program.
    pub name: &'a str,
    /// The name of its host.
    pub host: &'a str,
    /// Its process, on that host.
    pub pid: u32,
}

impl<'a> Program<'a> {
    /// The program, unless the name of the session is one of another form.
    pub fn of(session: &'a str) -> Option<Program<'a>> {
        let (rest, nonce) = session.strip_prefix("consul_lock ")?.split_once(' ')?;
        let is_nonce = |b: u8| b.is_ascii_hexdigit() || b == b'-';
        let (rest, pid) = rest.rsplit_once(':')?;
        let (name, host) = rest.rsplit_once('@')?;
        let is_ours = !nonce.is_empty() && nonce.bytes().all(is_nonce);
        let pid = pid.parse().ok()?;
        (is_ours && !name.is_empty()).then_some(Program { name, host, pid })
    }

    /// Whether a process of that number runs on this host; None: the program runs on another host.
    pub fn runs_here(&self) -> Option<bool> {
        let here = nix::unistd::gethostname().ok()?;
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?);
        // EPERM: the process is another user's.
        let runs = !matches!(kill(pid, None), Err(Errno::ESRCH));
        (here.to_str() == Some(self.host)).then_some(runs)
    }
}

/// The program, or the name of the session where the name does not tell the program.
pub fn title(name: Option<&str>) -> String {
    match (name, name.and_then(Program::of)) {
        (_, Some(Program { name, host, pid })) => format!("{name} on {host}, pid {pid}"),
        (Some(name), None) => format!("\"{name}\""),
        (None, None) => "a session without a name".to_owned(),
    }
}

/// Session, TTL and node in one line.
pub fn session(holder: &Holder) -> String {
    let mut text = holder.session.to_string();
    if let Some(ttl) = holder.ttl {
        text += &format!(", TTL {}", when::shown(ttl));
    }
    if let Some(node) = &holder.node {
        text += &format!(", on node {node}");
    }
    text
}

/// What a waiter wants.
pub fn wish(party: &Party) -> String {
    let mut text = match (party.shares(), party.limit()) {
        (false, _) => "to hold it alone".to_owned(),
        (true, None) => "to share it".to_owned(),
        (true, Some(limit)) => format!("to be one of {limit}"),
    };
    if party.keys.len() > 1 {
        text += &format!(", with {} other keys", party.keys.len() - 1);
    }
    text
}

/// The object of the library's, with the program, and with the value only where it is wanted.
pub fn complete(object: &mut Json, with_value: bool) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let name = object.get("name").and_then(Json::as_str).map(str::to_owned);
    let program = name.as_deref().and_then(Program::of);
    object.insert(
        "program".to_owned(),
        json!(program.as_ref().map(|p| p.name)),
    );
    object.insert("host".to_owned(), json!(program.as_ref().map(|p| p.host)));
    object.insert("pid".to_owned(), json!(program.as_ref().map(|p| p.pid)));
    if let Some(since) = object.get("since_ms") {
        let since = since.as_i64().and_then(when::iso);
        object.insert("since".to_owned(), json!(since));
    }
    if !with_value {
        object.remove("value_base64");
    }
}

/// How the sessions that hold a key share it: `shared by 2 of 3`.
pub fn sharing(all: &[Party]) -> String {
    let sharers = || all.iter().filter(|party| party.role == Role::Sharer);
    match sharers().find_map(Party::limit) {
        Some(limit) => format!("shared by {} of {limit}", sharers().count()),
        None => format!("shared by {}", sharers().count()),
    }
}

/// A text of another program does no harm to a terminal.
pub fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_the_library_tells_a_program() {
        let name = "consul_lock backup@db1.example:4711 00ff00ff00ff00ff-1-2";
        let program = Program {
            name: "backup",
            host: "db1.example",
            pid: 4711,
        };
        assert_eq!(Program::of(name), Some(program));
        assert_eq!(title(Some(name)), "backup on db1.example, pid 4711");
        for foreign in [
            "Consul API Lock",
            "consul_lock backup@db1 00ff",
            "consul_lock backup@db1:x 00ff",
            "consul_lock backup@db1:5 z",
            "consul_lock @db1:5 00ff",
            "consul_lock backup@db1:5",
            "nightly 00ff00ff00ff00ff-1-2",
        ] {
            assert_eq!(Program::of(foreign), None, "{foreign}");
            assert!(title(Some(foreign)).contains(foreign));
        }
    }
}
