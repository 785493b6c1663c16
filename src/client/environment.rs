//! The settings that Consul's own tools read from the environment, for what the options of a client
//! leave out. docs/OPTIONS.md lists them.

use crate::error::{Error, Status};
use crate::options::{ClientSettings, Spec, TABLE};
use crate::sys;

/// Options that belong together. One that is set by hand sets aside the variables of all: a
/// certificate does not fit somebody else's key.
const TOGETHER: [&[&str]; 3] = [
    &["token", "token_file"],
    &["ca_file", "ca_path"],
    &["client_cert", "client_key"],
];

/// Adds what the environment says. An empty variable counts as not set, as with Consul's own client.
/// A variable that an option takes the place of is not looked at.
pub(crate) fn complete(settings: &mut ClientSettings) -> Result<(), Error> {
    let set_aside: Vec<bool> = TABLE.iter().map(|spec| is_set(settings, spec)).collect();
    for (spec, set_aside) in TABLE.iter().zip(set_aside) {
        if let (Some(name), false) = (spec.env, set_aside)
            && let Some(value) = variable(name)?
        {
            settings.take(spec, name, &value)?;
        }
    }
    Ok(())
}

/// By hand, itself or one that it belongs together with.
fn is_set(settings: &ClientSettings, spec: &Spec) -> bool {
    let mut groups = TOGETHER.iter().filter(|group| group.contains(&spec.name));
    settings.has(spec.name) || groups.any(|group| group.iter().any(|name| settings.has(name)))
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
