//! The settings that Consul's own tools read from the environment, for what the options of a client
//! leave out. docs/OPTIONS.md lists them.

use crate::error::{Error, Status};
use crate::options::{OptionRow, OptionValues, TABLE};
use crate::sys;

/// Options that belong together. An option that the caller sets takes the place of the variables of all
/// in its group: a certificate does not fit the key of another one.
const TOGETHER: [&[&str]; 3] = [
    &["token", "token_file"],
    &["ca_file", "ca_path"],
    &["client_cert", "client_key"],
];

/// Adds the values of the environment. An empty variable counts as not set, as with Consul's own client.
/// The library does not read a variable that an option takes the place of, be the option empty.
pub(crate) fn complete(settings: &mut OptionValues) -> Result<(), Error> {
    let set_aside: Vec<bool> = TABLE.iter().map(|row| is_set(settings, row)).collect();
    for (row, set_aside) in TABLE.iter().zip(set_aside) {
        if let (Some(name), false) = (row.env, set_aside)
            && let Some(value) = variable(name)?
        {
            settings.take(row, name, &value)?;
        }
    }
    settings.drop_empty();
    Ok(())
}

/// The caller has set the option, or one of its group.
fn is_set(settings: &OptionValues, row: &OptionRow) -> bool {
    let mut groups = TOGETHER.iter().filter(|group| group.contains(&row.name));
    settings.has(row.name) || groups.any(|group| group.iter().any(|name| settings.has(name)))
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
