//! NULL in every pointer position of every exported function: a documented answer, never a crash.
//!
//! The calls are generated from the header and compiled as C; each runs in a process of its own. A
//! function or a pointer that the table below does not know fails the test.

use std::fmt::Write;
use std::process::{Command, Output, Stdio};

use crate::support::header::{Function, Param, functions};
use crate::support::{compile, scratch};

/// What each function answers to NULL in each pointer position: the name of a status, a number,
/// `NULL` or `object` for a pointer, `void`.
///
/// The valid arguments around it: a new lock, a free key, an address at which no server listens.
const ANSWERS: &[(&str, &[(&str, &str)])] = &[
    (
        "consul_lock_new",
        &[
            ("key", "NULL INVALID_ARGUMENT"),
            ("options", "object"),
            ("error", "object"),
        ],
    ),
    (
        "consul_lock_new_all",
        &[
            ("keys", "NULL INVALID_ARGUMENT"),
            ("options", "object"),
            ("error", "object"),
        ],
    ),
    ("consul_lock_keys_count", &[("lock", "0")]),
    ("consul_lock_key_at", &[("lock", "0"), ("buf", "19")]),
    ("consul_lock_slot", &[("lock", "-1")]),
    (
        "consul_lock_downgrade",
        &[("lock", "INVALID_ARGUMENT"), ("error", "NOT_HELD")],
    ),
    (
        "consul_lock_upgrade",
        &[("lock", "INVALID_ARGUMENT"), ("error", "NOT_HELD")],
    ),
    (
        "consul_lock_downgrade_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_upgrade_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_acquire",
        &[("lock", "INVALID_ARGUMENT"), ("error", "UNAVAILABLE")],
    ),
    (
        "consul_lock_release",
        &[("lock", "INVALID_ARGUMENT"), ("error", "NOT_HELD")],
    ),
    (
        "consul_lock_acquire_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_release_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_set_value",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_renew_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_check_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_put_if_held_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("key", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_delete_if_held_start",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("key", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_holder_start",
        &[
            ("client", "OK"),
            ("key", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_holders_start",
        &[
            ("client", "OK"),
            ("key", "INVALID_ARGUMENT"),
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_shutdown_start",
        &[
            ("done", "INVALID_ARGUMENT"),
            ("user_data", "OK"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_queue_new",
        &[("fd", "NULL INVALID_ARGUMENT"), ("error", "object")],
    ),
    ("consul_lock_queue_next", &[("queue", "NULL OK")]),
    ("consul_lock_queue_free", &[("queue", "void")]),
    ("consul_lock_sender_new", &[("queue", "NULL OK")]),
    ("consul_lock_sender_free", &[("sender", "void")]),
    (
        "consul_lock_queue_done",
        &[("error", "void"), ("sender", "void")],
    ),
    (
        "consul_lock_queue_holder_done",
        &[("holder", "void"), ("error", "void"), ("sender", "void")],
    ),
    (
        "consul_lock_queue_holders_done",
        &[("holders", "void"), ("error", "void"), ("sender", "void")],
    ),
    ("consul_lock_queue_lost", &[("sender", "void")]),
    (
        "consul_lock_queue_observed",
        &[("holder", "void"), ("error", "void"), ("sender", "void")],
    ),
    (
        "consul_lock_queue_log",
        &[("line", "void"), ("sender", "void")],
    ),
    (
        "consul_lock_bind_to_queue",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("queue", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    ("consul_lock_event_tag", &[("event", "0")]),
    ("consul_lock_event_code", &[("event", "0")]),
    ("consul_lock_event_kind", &[("event", "0")]),
    ("consul_lock_event_take_error", &[("event", "NULL OK")]),
    ("consul_lock_event_take_holder", &[("event", "NULL OK")]),
    ("consul_lock_event_take_holders", &[("event", "NULL OK")]),
    ("consul_lock_event_line", &[("event", "0"), ("buf", "0")]),
    ("consul_lock_event_free", &[("event", "void")]),
    ("consul_lock_free", &[("lock", "void")]),
    ("consul_lock_abandon", &[("lock", "void")]),
    ("consul_lock_cancel", &[("lock", "void")]),
    (
        "consul_lock_renew",
        &[("lock", "INVALID_ARGUMENT"), ("error", "NOT_HELD")],
    ),
    (
        "consul_lock_check",
        &[("lock", "INVALID_ARGUMENT"), ("error", "NOT_HELD")],
    ),
    (
        "consul_lock_put_if_held",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("key", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("error", "NOT_HELD"),
        ],
    ),
    (
        "consul_lock_delete_if_held",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("key", "INVALID_ARGUMENT"),
            ("error", "NOT_HELD"),
        ],
    ),
    (
        "consul_lock_set_lost_callback",
        &[
            ("lock", "INVALID_ARGUMENT"),
            ("callback", "OK"),
            ("user_data", "OK"),
            ("user_data_free", "OK"),
            ("error", "OK"),
        ],
    ),
    ("consul_lock_is_held", &[("lock", "0")]),
    ("consul_lock_why_lost", &[("lock", "0")]),
    ("consul_lock_remaining_ms", &[("lock", "0")]),
    ("consul_lock_fencing_token", &[("lock", "0")]),
    ("consul_lock_key", &[("lock", "0"), ("buf", "19")]),
    ("consul_lock_session_id", &[("lock", "0"), ("buf", "0")]),
    ("consul_lock_options_new", &[]),
    (
        "consul_lock_options_set",
        &[
            ("options", "INVALID_ARGUMENT"),
            ("name", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_options_set_int",
        &[
            ("options", "INVALID_ARGUMENT"),
            ("name", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_options_set_bytes",
        &[
            ("options", "INVALID_ARGUMENT"),
            ("name", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    (
        "consul_lock_options_set_client",
        &[
            ("options", "INVALID_ARGUMENT"),
            ("client", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    ("consul_lock_options_free", &[("options", "void")]),
    (
        "consul_lock_client_new",
        &[("options", "object"), ("error", "object")],
    ),
    ("consul_lock_client_free", &[("client", "void")]),
    // As long as the text of a client that did nothing.
    (
        "consul_lock_client_stats",
        &[("client", "565"), ("buf", "565")],
    ),
    (
        "consul_lock_defaults_set",
        &[
            ("name", "INVALID_ARGUMENT"),
            ("value", "INVALID_ARGUMENT"),
            ("error", "OK"),
        ],
    ),
    ("consul_lock_set_default_client", &[("client", "void")]),
    (
        "consul_lock_set_value_generator",
        &[
            ("generator", "void"),
            ("user_data", "void"),
            ("user_data_free", "void"),
        ],
    ),
    (
        "consul_lock_set_log_callback",
        &[
            ("callback", "OK"),
            ("user_data", "OK"),
            ("user_data_free", "OK"),
        ],
    ),
    (
        "consul_lock_value_set",
        &[("value", "INVALID_ARGUMENT"), ("bytes", "INVALID_ARGUMENT")],
    ),
    (
        "consul_lock_holder",
        &[
            ("client", "UNAVAILABLE"),
            ("key", "INVALID_ARGUMENT"),
            ("holder", "INVALID_ARGUMENT"),
            ("error", "UNAVAILABLE"),
        ],
    ),
    (
        "consul_lock_holders",
        &[
            ("client", "NULL UNAVAILABLE"),
            ("key", "NULL INVALID_ARGUMENT"),
            ("error", "NULL OK"),
        ],
    ),
    ("consul_lock_holders_count", &[("holders", "0")]),
    ("consul_lock_holders_role", &[("holders", "0")]),
    ("consul_lock_holders_get", &[("holders", "NULL OK")]),
    ("consul_lock_holders_limit", &[("holders", "0")]),
    ("consul_lock_holders_slot", &[("holders", "-1")]),
    ("consul_lock_holders_key_count", &[("holders", "0")]),
    ("consul_lock_holders_key", &[("holders", "0"), ("buf", "0")]),
    (
        "consul_lock_holders_json",
        &[("holders", "0"), ("buf", "0")],
    ),
    ("consul_lock_holders_free", &[("holders", "void")]),
    (
        "consul_lock_observe",
        &[
            ("client", "object"),
            ("key", "NULL INVALID_ARGUMENT"),
            ("callback", "NULL INVALID_ARGUMENT"),
            ("user_data", "object"),
            ("user_data_free", "object"),
            ("error", "object"),
        ],
    ),
    ("consul_lock_observer_free", &[("observer", "void")]),
    // Without a Consul there is no holder to look at: tests/c/value.c gives NULL buffers to one.
    (
        "consul_lock_holder_session",
        &[("holder", "0"), ("buf", "0")],
    ),
    ("consul_lock_holder_name", &[("holder", "0"), ("buf", "0")]),
    ("consul_lock_holder_node", &[("holder", "0"), ("buf", "0")]),
    ("consul_lock_holder_value", &[("holder", "0"), ("buf", "0")]),
    ("consul_lock_holder_fencing_token", &[("holder", "0")]),
    ("consul_lock_holder_since_ms", &[("holder", "0")]),
    ("consul_lock_holder_ttl_ms", &[("holder", "0")]),
    ("consul_lock_holder_free", &[("holder", "void")]),
    ("consul_lock_error_code", &[("error", "OK")]),
    ("consul_lock_error_message", &[("error", "object")]),
    ("consul_lock_error_http_status", &[("error", "0")]),
    ("consul_lock_error_is_retryable", &[("error", "0")]),
    ("consul_lock_error_why_lost", &[("error", "0")]),
    ("consul_lock_error_free", &[("error", "void")]),
    ("consul_lock_lost_reason_name", &[]),
    ("consul_lock_status_name", &[]),
    ("consul_lock_version", &[]),
    ("consul_lock_abi_version", &[]),
    ("consul_lock_shutdown", &[("error", "OK")]),
];

/// What a generated case begins with: valid objects of every kind.
const OBJECTS: &str = r#"#include <consul_lock_async.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
static int generate(consul_lock_value *value, void *user_data) {
    (void)user_data;
    return (int)consul_lock_value_set(value, "v", 1);
}
static void lost(consul_lock_lost_reason reason, void *user_data) {
    (void)reason; (void)user_data;
}
static void hear(consul_lock_log_level level, const char *line, void *user_data) {
    (void)level; (void)line; (void)user_data;
}
static void done(consul_lock_status status, consul_lock_error *error, void *user_data) {
    (void)status; (void)user_data;
    consul_lock_error_free(error);
}
static void holder_done(consul_lock_status status, consul_lock_holder_info *holder,
                        consul_lock_error *error, void *user_data) {
    consul_lock_holder_free(holder);
    done(status, error, user_data);
}
static void holders_done(consul_lock_status status, consul_lock_holders_info *holders,
                         consul_lock_error *error, void *user_data) {
    consul_lock_holders_free(holders);
    done(status, error, user_data);
}
static void no_free(void *user_data) { (void)user_data; }
static void told(consul_lock_status status, consul_lock_error *error) {
    if (error != NULL && consul_lock_error_code(error) != status) { printf("other error "); }
}
int main(int argc, char **argv) {
    char buf[64];
    const char *const some_keys[] = {"key", "other"};
    consul_lock_error *told_error = NULL, *an_error = NULL;
    consul_lock_holder_info *found = NULL, *a_holder = NULL;
    consul_lock_holders_info *some_holders = NULL;
    consul_lock_observer *an_observer = consul_lock_observe(NULL, "k", holder_done, NULL, NULL, NULL);
    if (an_observer == NULL) { return 7; }
    consul_lock_client *a_client = consul_lock_client_new(NULL, NULL);
    consul_lock_options *an_options = consul_lock_options_new();
    consul_lock *a_lock = consul_lock_new("k\xc3\xa4", NULL, NULL);
    if (a_client == NULL || an_options == NULL || a_lock == NULL) { return 3; }
    consul_lock_release(a_lock, &an_error);
    if (an_error == NULL) { return 4; }
    int32_t fd = -1;
    consul_lock_queue *a_queue = consul_lock_queue_new(&fd, NULL);
    consul_lock_queue_lost(CONSUL_LOCK_LOST_REASON_EXPIRED, consul_lock_sender_new(a_queue, 1));
    consul_lock_event *an_event = consul_lock_queue_next(a_queue);
    consul_lock_sender *a_sender = consul_lock_sender_new(a_queue, 2);
    if (fd < 0 || an_event == NULL || a_sender == NULL) { return 6; }
    (void)holder_done; (void)holders_done; (void)some_holders;
    (void)some_keys; (void)buf; (void)told; (void)generate; (void)no_free; (void)hear; (void)lost; (void)done; (void)found; (void)a_holder;
    switch (argc > 1 ? atoi(argv[1]) : -1) {
"#;

/// A valid argument.
fn valid(function: &Function, param: &Param) -> &'static str {
    match (param.kind.as_str(), param.name.as_str()) {
        ("consul_lock *" | "const consul_lock *", _) => "a_lock",
        ("consul_lock_options *" | "const consul_lock_options *", _) => "an_options",
        ("consul_lock_client *" | "const consul_lock_client *", _) => "a_client",
        ("consul_lock_error **", _) => "&told_error",
        ("consul_lock_error *" | "const consul_lock_error *", _) => "an_error",
        ("consul_lock_holder_info **", _) => "&found",
        ("consul_lock_holders_info *" | "const consul_lock_holders_info *", _) => "some_holders",
        ("consul_lock_observer *", _) => "an_observer",
        ("consul_lock_observe_callback", _) => "holder_done",
        ("consul_lock_holders_done", _) => "holders_done",
        ("consul_lock_holder_info *" | "const consul_lock_holder_info *", _) => "a_holder",
        ("consul_lock_queue *" | "const consul_lock_queue *", _) => "a_queue",
        ("consul_lock_event *" | "const consul_lock_event *", _) => "an_event",
        ("void *", "sender") => "a_sender",
        ("int32_t *", "fd") => "&fd",
        ("consul_lock_status", _) => "CONSUL_LOCK_LOST",
        ("consul_lock_lost_reason", _) => "CONSUL_LOCK_LOST_REASON_KEY_GONE",
        ("consul_lock_log_level", _) => "CONSUL_LOCK_LOG_LEVEL_INFO",
        ("consul_lock_holder_done", _) => "holder_done",
        ("const char *", "line") => "\"a line\"",
        ("uint64_t", "tag") => "7",
        ("consul_lock_value_generator", _) => "generate",
        ("consul_lock_done", _) => "done",
        ("consul_lock_log_callback", _) => "hear",
        ("consul_lock_lost_callback", _) => "lost",
        ("consul_lock_user_data_free", _) => "no_free",
        // Only a generator has one: tests/c/value.c calls it there with NULL bytes.
        ("consul_lock_value *", _) => "NULL",
        ("const char *", "key") => "\"key\"",
        ("const char *const *", "keys") => "some_keys",
        ("size_t", "n") => "2",
        ("size_t", "index") => "0",
        ("const char *", "name") if function.name.ends_with("_bytes") => "\"value\"",
        ("const char *", "name") => "\"acquire_timeout_ms\"",
        ("const char *", "value") => "\"5\"",
        ("const void *", _) => "\"v\"",
        ("char *" | "void *", _) => "buf",
        ("size_t", "cap") => "sizeof buf",
        ("size_t" | "int64_t" | "int32_t", _) => "1",
        other => panic!("no valid argument for {other:?} of {}", function.name),
    }
}

/// A call with NULL for one pointer, which prints what came back.
fn call(function: &Function, position: usize) -> String {
    let arguments: Vec<&str> = function
        .params
        .iter()
        .enumerate()
        .map(|(i, param)| {
            if i == position {
                "NULL"
            } else {
                valid(function, param)
            }
        })
        .collect();
    let call = format!("{}({})", function.name, arguments.join(", "));
    let failed = "consul_lock_status_name(consul_lock_error_code(told_error))";
    match function.returns.as_str() {
        "void" => format!("{call}; printf(\"void\");"),
        "consul_lock_status" => format!(
            "{{ consul_lock_status s = {call}; told(s, told_error); \
             printf(\"%s\", consul_lock_status_name((int32_t)s)); }}"
        ),
        kind if kind.ends_with('*') => format!(
            "{{ const void *p = {call}; if (p != NULL) {{ printf(\"object\"); }} \
             else {{ printf(\"NULL %s\", {failed}); }} }}"
        ),
        "int32_t" | "int64_t" => format!("printf(\"%\" PRId64, (int64_t){call});"),
        _ => format!("printf(\"%\" PRIu64, (uint64_t){call});"),
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        text
    } else {
        format!("{text}, {}", output.status)
    }
}

#[test]
fn null_in_every_position_is_answered() {
    let functions = functions();
    let mut source = String::from(OBJECTS);
    let mut cases = Vec::new();
    for function in &functions {
        let (_, answers) = ANSWERS
            .iter()
            .find(|(name, _)| *name == function.name)
            .unwrap_or_else(|| panic!("{} is not in the table", function.name));
        let pointers: Vec<&str> = function
            .params
            .iter()
            .filter(|p| p.is_pointer())
            .map(|p| p.name.as_str())
            .collect();
        let known: Vec<&str> = answers.iter().map(|(name, _)| *name).collect();
        assert_eq!(pointers, known, "the pointers of {}", function.name);
        for (position, param) in function.params.iter().enumerate() {
            let Some((_, answer)) = answers.iter().find(|(name, _)| *name == param.name) else {
                continue;
            };
            let _ = writeln!(
                source,
                "    case {}: {} break;",
                cases.len(),
                call(function, position)
            );
            cases.push((format!("{} of {}", param.name, function.name), *answer));
        }
    }
    assert_eq!(
        ANSWERS.len(),
        functions.len(),
        "the table has a function that the header has not"
    );
    source.push_str("    default: return 5;\n    }\n    return 0;\n}\n");
    let file = scratch("null_matrix").join("null_matrix.c");
    std::fs::write(&file, source).expect("a scratch file");
    let program = compile(&file, "null_matrix", &["-std=c99", "-pedantic"]);

    // All at once: some wait for a Consul until their time is over.
    let running: Vec<_> = (0..cases.len())
        .map(|number| {
            Command::new(&program)
                .arg(number.to_string())
                .env("CONSUL_HTTP_ADDR", "127.0.0.1:1")
                .env_remove("CONSUL_HTTP_TOKEN")
                .stdout(Stdio::piped())
                .spawn()
                .expect("the program runs")
        })
        .collect();
    let mut wrong = Vec::new();
    for (child, (what, answer)) in running.into_iter().zip(&cases) {
        let output = child.wait_with_output().expect("the program ends");
        let said = said(&output);
        if said != *answer {
            wrong.push(format!("NULL as {what}: {said}, should be {answer}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
