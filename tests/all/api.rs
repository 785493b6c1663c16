//! `abi/api.json` and `docs/OPTIONS.md` are what the source says.

use std::fmt::Write;

use crate::support::header::{Function, callbacks, enumeration, functions};
use crate::support::{differs, root};
use consul_lock::error::Status;
use consul_lock::ffi::meta::ABI_VERSION;
use consul_lock::options::{OptionPlace, OptionRow, TABLE, ValueKind};
use serde_json::{Value, json};

const COMMAND: &str = "UPDATE_HEADER=1 cargo test --test all api::";

fn place(place: OptionPlace) -> &'static str {
    match place {
        OptionPlace::Lock => "lock",
        OptionPlace::Client => "client",
        OptionPlace::Default => "default",
    }
}

fn function(function: &Function) -> Value {
    let params: Vec<Value> = function
        .params
        .iter()
        .map(|param| json!({ "name": param.name, "type": param.kind }))
        .collect();
    json!({ "name": function.name, "returns": function.returns, "params": params })
}

fn option(option: &OptionRow) -> Value {
    let places: Vec<&str> = option.places.iter().copied().map(place).collect();
    let mut row = json!({
        "name": option.name,
        "places": places,
        "type": option.kind.name(),
        "default": option.default.to_string(),
        "env": option.env,
        "secret": option.secret,
        "doc": option.doc,
    });
    match option.kind {
        ValueKind::Int { min, max } => {
            row["min"] = min.into();
            row["max"] = max.into();
        }
        ValueKind::Bytes { max } => row["max_bytes"] = max.into(),
        ValueKind::Choice { of } => row["choices"] = of.into(),
        ValueKind::Bool | ValueKind::Text { .. } | ValueKind::Pattern => {}
    }
    row
}

fn numbers(name: &str, prefix: &str) -> Vec<Value> {
    let rows = enumeration(name, prefix).into_iter();
    rows.map(|(name, number)| json!({ "name": name, "number": number }))
        .collect()
}

#[test]
fn api_json_is_what_the_source_says() {
    let statuses: Vec<Value> = Status::ALL
        .iter()
        .map(|status| json!({ "name": status.name(), "number": *status as i32 }))
        .collect();
    let api = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "abi_version": ABI_VERSION,
        "functions": functions().iter().map(function).collect::<Vec<_>>(),
        "callbacks": callbacks().iter().map(function).collect::<Vec<_>>(),
        "statuses": statuses,
        "lost_reasons": numbers("consul_lock_lost_reason", "CONSUL_LOCK_LOST_REASON_"),
        "roles": numbers("consul_lock_role", "CONSUL_LOCK_ROLE_"),
        "event_kinds": numbers("consul_lock_event_kind_t", "CONSUL_LOCK_EVENT_"),
        "log_levels": numbers("consul_lock_log_level", "CONSUL_LOCK_LOG_LEVEL_"),
        "options": TABLE.iter().map(option).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&api).expect("JSON") + "\n";
    differs(&root().join("abi/api.json"), &text, COMMAND);
}

#[test]
fn options_md_is_what_the_table_says() {
    let mut text = String::from(
        "# Options\n\n\
         Generated from the table in `src/options/table.rs`. From C they are set with \
         `consul_lock_options_set` (on the options of a lock or of a client) or \
         `consul_lock_defaults_set` (for the process); every binding takes the same names.\n\n\
         **Precedence.** An option that is set wins over everything. Of the token: the option `token`, \
         then a file (the option `token_file`, then `CONSUL_HTTP_TOKEN_FILE`), then \
         `CONSUL_HTTP_TOKEN`. What no option says is read from the environment when the client is \
         made; an empty variable counts as not set. Options that belong together (`token` and \
         `token_file`; `ca_file` and `ca_path`; `client_cert` and `client_key`) set aside the \
         variables of both. An option that is set to the empty text, where it may be empty, sets its \
         variable aside and has no value. A value that cannot be read is an error that names the option or the \
         variable. In a setuid program the environment is not read.\n",
    );
    for (wanted, title) in [
        (OptionPlace::Lock, "Options of a lock"),
        (OptionPlace::Client, "Options of a client"),
        (OptionPlace::Default, "Process-wide defaults"),
    ] {
        let _ = write!(
            text,
            "\n## {title}\n\n| name | type | default | environment | what it does |\n"
        );
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for row in TABLE.iter().filter(|row| row.places.contains(&wanted)) {
            let env = row.env.map_or(String::new(), |env| format!("`{env}`"));
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {env} | {} |",
                row.name,
                row.kind.range(),
                row.default,
                row.doc
            );
        }
    }
    differs(&root().join("docs/OPTIONS.md"), &text, COMMAND);
}

#[test]
fn the_numbers_of_the_statuses_stay_in_their_bands() {
    for pair in Status::ALL.windows(2) {
        assert!((pair[0] as i32) < (pair[1] as i32));
    }
    let header = std::fs::read_to_string(root().join("include/consul_lock.h")).expect("the header");
    for status in Status::ALL {
        let line = format!("CONSUL_LOCK_{} = {},", status.name(), status as i32);
        assert!(header.contains(&line), "{line}");
    }
}
