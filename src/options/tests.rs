//! The table of options, and its parser.

use super::*;
use crate::error::Status;
use crate::key::MAX_VALUE;

fn refused(result: Result<(), Error>) -> String {
    let error = result.expect_err("must be refused");
    assert_eq!(error.status, Status::InvalidOption);
    assert!(!error.message.contains('\n'));
    error.message
}

fn default_of(name: &str, value: &str) -> Result<OptionValues, Error> {
    let mut values = OptionValues::default();
    set_default(&mut values, name, value).map(|()| values)
}

fn of_lock(set: impl FnOnce(&mut Options) -> Result<(), Error>) -> OptionValues {
    let mut options = Options::new();
    set(&mut options).expect("a right value");
    let values = options.values_for(OptionPlace::Lock).expect("values");
    values.clone()
}

#[test]
fn numbers_are_decimal_digits_with_an_optional_minus() {
    for (text, number) in [("-1", -1), ("0", 0), ("007", 7), ("86400000", 86_400_000)] {
        let values = of_lock(|options| options.set("acquire_timeout_ms", text));
        assert_eq!(values.int("acquire_timeout_ms"), number, "{text}");
    }
    for text in ["", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "١"] {
        let message = refused(Options::new().set("acquire_timeout_ms", text));
        let expected = format!("must be a whole number from -1 to 86400000, is \"{text}\"");
        assert_eq!(message, format!("option acquire_timeout_ms: {expected}"));
    }
    for text in ["-2", "86400001"] {
        let message = refused(Options::new().set("acquire_timeout_ms", text));
        let expected = format!("option acquire_timeout_ms: must be -1 to 86400000, is {text}");
        assert_eq!(message, expected);
    }
    let huge = "9".repeat(40);
    assert!(refused(Options::new().set("acquire_timeout_ms", &huge)).contains(&huge));
}

#[test]
fn true_and_false_are_the_words_of_go() {
    for (words, yes) in [
        ("1 t T TRUE true True", true),
        ("0 f F FALSE false False", false),
    ] {
        for word in words.split(' ') {
            let values = of_lock(|options| options.set("auto_renew", word));
            assert_eq!(values.bool("auto_renew"), yes, "{word}");
        }
        let values = of_lock(|options| options.set_int("auto_renew", yes.into()));
        assert_eq!(values.bool("auto_renew"), yes);
    }
    for word in ["", "yes", "on", "2", "tRUE", " true"] {
        let message = refused(Options::new().set("auto_renew", word));
        assert!(message.contains("true or false"), "{message}");
    }
    for number in [-1, 2] {
        assert!(refused(Options::new().set_int("auto_renew", number)).contains("true or false"));
    }
}

#[test]
fn each_number_of_the_table_takes_its_bounds_and_nothing_beyond() {
    for row in TABLE {
        let ValueKind::Int { min, max } = row.kind else {
            continue;
        };
        let mut options = Options::new();
        options.set_int(row.name, min).expect(row.name);
        options.set_int(row.name, max).expect(row.name);
        let outside = [min.checked_sub(1), max.checked_add(1), Some(i64::MIN)];
        for wrong in outside.into_iter().flatten() {
            let message = refused(Options::new().set_int(row.name, wrong));
            assert!(message.contains(&wrong.to_string()), "{message}");
        }
    }
}

#[test]
fn each_default_is_a_value_that_its_option_takes_and_is_what_holds() {
    let none = OptionValues::default();
    for row in TABLE {
        let (name, text) = (row.name, row.default.to_string());
        match row.default {
            DefaultValue::Int(number) => assert_eq!(none.int(name), number, "{name}"),
            DefaultValue::Bool(yes) => assert_eq!(none.bool(name), yes, "{name}"),
            DefaultValue::Text(text) => assert_eq!(none.text_or_default(name).value, text),
            DefaultValue::Absent(_) => continue,
        }
        assert!(parse(row, &text).is_ok(), "{name}: {text}");
        let is_value = matches!(row.kind, ValueKind::Int { .. } | ValueKind::Bool);
        let is_text = matches!(row.default, DefaultValue::Text(_));
        assert!(is_value != is_text, "{name}: {text}");
    }
}

#[test]
fn the_first_refusal_is_what_a_maker_answers() {
    let mut options = Options::new();
    let first = refused(options.set("acquire_timeout_ms", "soon"));
    refused(options.set("nonsense", "1"));
    options
        .set("acquire_timeout_ms", "5")
        .expect("a right value");
    assert_eq!(
        options
            .values_for(OptionPlace::Lock)
            .expect_err("refused")
            .message,
        first
    );
    assert_eq!(
        options
            .values_for(OptionPlace::Client)
            .expect_err("refused")
            .message,
        first
    );
}

#[test]
fn an_unknown_name_lists_near_matches() {
    let message = refused(Options::new().set("aquire_timeout_ms", "1"));
    assert!(
        message.contains("did you mean acquire_timeout_ms"),
        "{message}"
    );
    let message = refused(Options::new().set("lock_timeout", "1"));
    assert!(message.contains("lock_timeout_seconds"), "{message}");
    let message = refused(Options::new().set("zzzzzzzzzz", "1"));
    assert!(message.contains("known are"), "{message}");
}

#[test]
fn an_option_in_the_wrong_place_says_where_it_belongs() {
    let mut options = Options::new();
    options.set("address", "127.0.0.1:8500").expect("address");
    let message = options
        .values_for(OptionPlace::Lock)
        .expect_err("refused")
        .message;
    assert!(
        message.contains("address") && message.contains("a client"),
        "{message}"
    );

    let mut options = Options::new();
    options
        .set("lock_timeout_seconds", "10")
        .expect("lock_timeout_seconds");
    let message = options
        .values_for(OptionPlace::Client)
        .expect_err("refused")
        .message;
    assert!(message.contains("a lock"), "{message}");

    let message = refused(Options::new().set("lock_key_pattern", "a/%s"));
    assert!(message.contains("consul_lock_defaults_set"), "{message}");
    for name in ["value", "address", "token"] {
        let message = refused(default_of(name, "x").map(|_| ()));
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_pattern_has_exactly_one_place_for_the_key() {
    for good in ["%s", "a/%s/b", "100%/%s", "%d/%s", "%%/%s"] {
        let values = default_of("lock_key_pattern", good).expect(good);
        assert_eq!(values.text_or_default("lock_key_pattern").value, good);
    }
    for bad in ["", "a/b", "%s/%s", "%S", "a\n%s"] {
        refused(default_of("lock_key_pattern", bad).map(|_| ()));
    }
}

#[test]
fn secrets_are_never_shown() {
    let mut options = Options::new();
    options.set("token", "hush-hush").expect("token");
    options.set("value", "hush-hush").expect("value");
    assert!(!format!("{options:?}").contains("hush"));
    let mut options = Options::new();
    options.set("token", "hush-hush").expect("token");
    options.set("http_auth", "hush:hush").expect("http_auth");
    let shown = format!("{:?}", options.values_for(OptionPlace::Client));
    assert!(
        shown.contains("token") && !shown.contains("hush"),
        "{shown}"
    );
    let mut options = Options::new();
    options.set_bytes("value", b"hush-hush").expect("value");
    assert!(!format!("{:?}", options.values_for(OptionPlace::Lock)).contains("hush"));
    assert!(!refused(Options::new().set("token", "hush\nhush")).contains("hush"));
}

#[test]
fn a_value_has_a_limit() {
    let mut options = Options::new();
    options
        .set_bytes("value", &vec![0; MAX_VALUE])
        .expect("the longest");
    let message = refused(options.set_bytes("value", &vec![0; MAX_VALUE + 1]));
    assert!(
        message.contains("390001") && message.contains("390000"),
        "{message}"
    );
}

#[test]
fn a_setter_of_the_wrong_kind_is_refused() {
    refused(Options::new().set_int("address", 1));
    refused(Options::new().set_int("value", 1));
    refused(Options::new().set_bytes("address", b"x"));
    refused(Options::new().set("address", ""));
    refused(Options::new().set("datacenter", &"x".repeat(4097)));
    Options::new().set("token", "").expect("no token");
}
