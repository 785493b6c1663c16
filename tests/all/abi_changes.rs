//! `scripts/abi-changes` finds each kind of change of the interface, and names the number that it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{root, scratch};
use serde_json::{Value, json};

/// How the header declares the function that the tests take away.
const RENEW: &str =
    "consul_lock_status consul_lock_renew(consul_lock *lock, consul_lock_error **error);";

/// The interface of a version, in a folder that a test may change.
struct Copy(PathBuf);

impl Copy {
    /// The interface of this tree, as if its version were `version`, with one structure that has fields.
    fn of_version(folder: &Path, version: &str) -> Copy {
        let copy = Copy(folder.to_path_buf());
        let _ = fs::remove_dir_all(folder);
        for part in ["abi", "include"] {
            fs::create_dir_all(folder.join(part)).unwrap();
            for entry in fs::read_dir(root().join(part)).unwrap() {
                let from = entry.unwrap().path();
                let to = folder.join(part).join(from.file_name().unwrap());
                fs::copy(from, to).unwrap();
            }
        }
        copy.api(|api| api["version"] = version.into());
        copy.text("include/consul_lock.h", |text| {
            text + "typedef struct { uint32_t size; int64_t since_ms; } consul_lock_layout;\n"
        });
        copy
    }

    fn text(&self, file: &str, change: impl FnOnce(String) -> String) {
        let file = self.0.join(file);
        fs::write(&file, change(fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Also in the comments.
    fn header(&self, from: &str, to: &str) {
        self.text("include/consul_lock.h", |text| {
            assert!(text.contains(from), "the header has no {from}");
            text.replace(from, to)
        });
    }

    fn symbols(&self, from: &str, to: &str) {
        self.text("abi/symbols.txt", |text| {
            assert!(text.contains(from), "no symbol is {from}");
            text.replace(from, to)
        });
    }

    fn api(&self, change: impl FnOnce(&mut Value)) {
        self.text("abi/api.json", |text| {
            let mut api = serde_json::from_str(&text).unwrap();
            change(&mut api);
            api.to_string()
        });
    }

    fn without_renew(&self) {
        self.symbols("consul_lock_renew 0.1.0\n", "");
        self.header(RENEW, "");
        self.api(|api| remove(api, "functions", "consul_lock_renew"));
    }

    /// A new version of the ABI, as the policy asks of a break.
    fn anew(&self) {
        self.api(|api| api["abi_version"] = 3.into());
        let line = "#define CONSUL_LOCK_ABI_VERSION ";
        self.header(&format!("{line}2"), &format!("{line}3"));
    }
}

/// The row of that name in a list of `abi/api.json`.
fn row<'a>(api: &'a mut Value, list: &str, name: &str) -> &'a mut Value {
    let rows = api[list].as_array_mut().unwrap();
    rows.iter_mut().find(|row| row["name"] == name).unwrap()
}

fn remove(api: &mut Value, list: &str, name: &str) {
    let rows = api[list].as_array_mut().unwrap();
    rows.retain(|row| row["name"] != name);
}

/// What the program says of a version made of 0.1.4 by `change`, and whether the program is content.
fn said(name: &str, version: &str, change: impl FnOnce(&Copy)) -> (String, bool) {
    let folder = scratch("abi_changes").join(name);
    let old = Copy::of_version(&folder.join("old"), "0.1.4");
    let new = Copy::of_version(&folder.join("new"), version);
    change(&new);
    compared(&old, &new)
}

fn compared(old: &Copy, new: &Copy) -> (String, bool) {
    let output = Command::new(root().join("scripts/abi-changes"))
        .args([&old.0, &new.0])
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (text, output.status.success())
}

/// The change is a break: the program names the break, refuses a patch with the old ABI version, and accepts a minor version
/// with a new one.
#[track_caller]
fn breaks(name: &str, what: &str, change: impl Fn(&Copy)) {
    let line = format!("break     {what}\n");
    let needs = "a break after 0.1.4 needs the version 0.2.0 and the SONAME libconsul_lock.so.0.2";
    let (text, content) = said(name, "0.1.5", &change);
    assert!(
        text.contains(&line) && text.contains(needs) && !content,
        "{text}"
    );
    assert!(
        text.contains("CONSUL_LOCK_ABI_VERSION is still 2: a break needs 3"),
        "{text}"
    );
    let (text, content) = said(name, "0.2.0", |new| {
        change(new);
        new.anew();
    });
    assert!(text.contains(&line) && content, "{text}");
}

/// The change is an addition (or another default): refused with the number of a patch, and accepted with that of a
/// minor version.
#[track_caller]
fn adds(name: &str, line: &str, change: impl Fn(&Copy)) {
    for (version, fits) in [("0.1.5", false), ("0.2.0", true)] {
        let (text, content) = said(name, version, &change);
        assert!(text.contains(&format!("{line}\n")), "{text}");
        assert!(!text.contains("break  ") && content == fits, "{text}");
        assert!(text.contains("0.1.4 needs the version 0.2.0"), "{text}");
    }
}

#[test]
fn the_same_interface_needs_no_number() {
    let (text, content) = said("same", "0.1.5", |_| {});
    assert!(
        content && text == "the interface is that of 0.1.4\n",
        "{text}"
    );
    // Names of parameters and comments are no part of it.
    let (text, content) = said("names", "0.1.5", |new| {
        new.header(
            "consul_lock_is_held(const consul_lock *lock)",
            "consul_lock_is_held(const consul_lock *it)",
        );
        new.header("/**", "/** Another comment; int a(void); */ /**");
        new.api(|api| {
            row(api, "functions", "consul_lock_is_held")["params"][0]["name"] = "it".into()
        });
    });
    assert!(
        content && text == "the interface is that of 0.1.4\n",
        "{text}"
    );
}

#[test]
fn a_function_that_is_gone_or_another_breaks() {
    let gone = "function consul_lock_renew is gone";
    breaks("gone", gone, Copy::without_renew);
    breaks("gone-json", gone, |new| {
        new.api(|api| remove(api, "functions", "consul_lock_renew"))
    });
    breaks("gone-header", gone, |new| new.header(RENEW, ""));
    let was = "function consul_lock_is_held was bool (const consul_lock *), and is";
    breaks("argument", &format!("{was} bool (consul_lock *)"), |new| {
        new.api(|api| {
            row(api, "functions", "consul_lock_is_held")["params"][0]["type"] =
                "consul_lock *".into()
        });
    });
    breaks("header", &format!("{was} bool (consul_lock *)"), |new| {
        new.header(
            "consul_lock_is_held(const consul_lock *lock)",
            "consul_lock_is_held(consul_lock *lock)",
        );
    });
    breaks(
        "result",
        &format!("{was} int (const consul_lock *)"),
        |new| {
            new.api(|api| row(api, "functions", "consul_lock_is_held")["returns"] = "int".into());
        },
    );
    breaks(
        "more",
        &format!("{was} bool (const consul_lock *, int)"),
        |new| {
            new.api(|api| {
                let params = &mut row(api, "functions", "consul_lock_is_held")["params"];
                params
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "more", "type": "int" }));
            });
        },
    );
}

#[test]
fn a_callback_that_is_gone_or_another_breaks() {
    let name = "consul_lock_value_generator";
    breaks(
        "callback-gone",
        &format!("callback {name} is gone"),
        |new| {
            new.api(|api| remove(api, "callbacks", name));
        },
    );
    let was = format!("callback {name} was int (consul_lock_value *, void *), and is");
    breaks(
        "callback",
        &format!("{was} void (consul_lock_value *, void *)"),
        |new| {
            new.api(|api| row(api, "callbacks", name)["returns"] = "void".into());
        },
    );
    breaks(
        "callback-header",
        &format!("{was} int (consul_lock_value *)"),
        |new| {
            new.header(
                "(consul_lock_value *value, void *user_data);",
                "(consul_lock_value *value);",
            );
        },
    );
}

#[test]
fn a_number_that_is_gone_or_another_breaks() {
    let lost = "number CONSUL_LOCK_LOST";
    breaks("status-gone", &format!("{lost} is gone"), |new| {
        new.api(|api| remove(api, "statuses", "LOST"));
    });
    breaks("status", &format!("{lost} was 22, and is 99"), |new| {
        new.api(|api| row(api, "statuses", "LOST")["number"] = 99.into());
    });
    breaks(
        "status-header",
        &format!("{lost} was 22, and is 99"),
        |new| {
            new.header("CONSUL_LOCK_LOST = 22", "CONSUL_LOCK_LOST = 99");
        },
    );
    for (list, name, whole) in [
        ("lost_reasons", "EXPIRED", "CONSUL_LOCK_LOST_REASON_EXPIRED"),
        ("roles", "EXCLUSIVE", "CONSUL_LOCK_ROLE_EXCLUSIVE"),
        ("event_kinds", "DONE", "CONSUL_LOCK_EVENT_DONE"),
        ("log_levels", "ERROR", "CONSUL_LOCK_LOG_LEVEL_ERROR"),
    ] {
        breaks(list, &format!("number {whole} was 1, and is 77"), |new| {
            new.api(|api| row(api, list, name)["number"] = 77.into());
        });
    }
    breaks(
        "macro",
        "macro CONSUL_LOCK_MAX_VALUE was 390000, and is 400000",
        |new| {
            new.header("MAX_VALUE 390000", "MAX_VALUE 400000");
        },
    );
}

#[test]
fn another_layout_or_type_breaks() {
    let was = "type consul_lock_layout was struct { uint32_t size ; int64_t since_ms ; }, and is";
    breaks(
        "field",
        &format!("{was} struct {{ uint64_t size ; int64_t since_ms ; }}"),
        |new| {
            new.header("uint32_t size;", "uint64_t size;");
        },
    );
    breaks(
        "order",
        &format!("{was} struct {{ int64_t since_ms ; uint32_t size ; }}"),
        |new| {
            new.header(
                "uint32_t size; int64_t since_ms;",
                "int64_t since_ms; uint32_t size;",
            );
        },
    );
    breaks(
        "last",
        &format!("{was} struct {{ uint32_t size ; int64_t since_ms ; int more ; }}"),
        |new| {
            new.header("since_ms; }", "since_ms; int more; }");
        },
    );
    breaks("type-gone", "type consul_lock_value is gone", |new| {
        new.header("typedef struct consul_lock_value consul_lock_value;", "");
    });
}

#[test]
fn an_option_that_is_gone_or_takes_less_breaks() {
    let option = |new: &Copy, name: &str, key: &str, value: Value| {
        new.api(|api| row(api, "options", name)[key] = value);
    };
    breaks("option-gone", "option mode is gone", |new| {
        new.api(|api| remove(api, "options", "mode"))
    });
    let timeout = "option acquire_timeout_ms";
    breaks(
        "option-type",
        &format!("{timeout} was of type int, and is of type text"),
        |new| {
            option(new, "acquire_timeout_ms", "type", "text".into());
        },
    );
    breaks(
        "option-range",
        &format!("{timeout}: its max was 86400000, and is 1000"),
        |new| {
            option(new, "acquire_timeout_ms", "max", 1000.into());
        },
    );
    breaks(
        "option-place",
        &format!("{timeout}: default is no place of it any more"),
        |new| {
            option(new, "acquire_timeout_ms", "places", json!(["lock"]));
        },
    );
    breaks(
        "option-choice",
        "option mode: share is no choice of it any more",
        |new| {
            option(new, "mode", "choices", json!(["exclusive"]));
        },
    );
    adds(
        "wider",
        &format!("addition  {timeout}: its max was 86400000, and is 86400001"),
        |new| {
            option(new, "acquire_timeout_ms", "max", 86_400_001.into());
        },
    );
    adds("choice", "addition  option mode: third, a choice", |new| {
        option(
            new,
            "mode",
            "choices",
            json!(["exclusive", "share", "third"]),
        );
    });
    adds(
        "default",
        &format!("change    {timeout}: its default was 0, and is 5"),
        |new| {
            option(new, "acquire_timeout_ms", "default", "5".into());
        },
    );
}

/// A new function in all three files.
fn with_a_function(new: &Copy, since: &str) {
    let declaration = "bool consul_lock_new_one(const consul_lock *lock);\n";
    new.text("include/consul_lock.h", |text| text + declaration);
    new.symbols(
        "\nconsul_lock_new ",
        &format!("\nconsul_lock_new_one{since}\nconsul_lock_new "),
    );
    new.api(|api| {
        let params = json!([{ "name": "lock", "type": "const consul_lock *" }]);
        let function =
            json!({ "name": "consul_lock_new_one", "params": params, "returns": "bool" });
        api["functions"].as_array_mut().unwrap().push(function);
    });
}

#[test]
fn what_is_new_needs_a_minor_version() {
    let (text, content) = said("function", "0.2.0", |new| with_a_function(new, " 0.2.0"));
    assert!(
        content && text.starts_with("addition  function consul_lock_new_one\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "each change is told once: {text}");
    adds(
        "status-new",
        "addition  number CONSUL_LOCK_NEW_ONE",
        |new| {
            new.api(|api| {
                let status = json!({ "name": "NEW_ONE", "number": 98 });
                api["statuses"].as_array_mut().unwrap().push(status);
            });
        },
    );
    adds("option-new", "addition  option new_one", |new| {
        new.api(|api| {
            let mut option = row(api, "options", "mode").clone();
            option["name"] = "new_one".into();
            api["options"].as_array_mut().unwrap().push(option);
        });
    });
}

#[test]
fn a_new_function_has_its_version() {
    for (since, what) in [
        (" 0.1.0", "is new in 0.2.0, and abi/symbols.txt says 0.1.0"),
        (" 0.3.0", "is new in 0.2.0, and abi/symbols.txt says 0.3.0"),
        ("", "is new in 0.2.0, and abi/symbols.txt says nothing"),
    ] {
        let (text, content) = said("since", "0.2.0", |new| with_a_function(new, since));
        assert!(
            text.contains(&format!("error     function consul_lock_new_one {what}\n")),
            "{text}"
        );
        assert!(!content, "{text}");
    }
    let (text, content) = said("without", "0.2.0", |new| {
        with_a_function(new, " 0.2.0");
        new.symbols("consul_lock_new_one 0.2.0\n", "");
    });
    assert!(
        text.contains("function consul_lock_new_one has no version in abi/symbols.txt"),
        "{text}"
    );
    assert!(!content, "{text}");
    let (text, content) = said("other", "0.2.0", |new| {
        new.symbols("consul_lock_key 0.1.0", "consul_lock_key 0.2.0");
    });
    assert!(
        text.contains("consul_lock_key came with 0.1.0, and abi/symbols.txt says 0.2.0"),
        "{text}"
    );
    assert!(!content, "{text}");
}

#[test]
fn the_abi_version_says_a_break_and_never_shrinks() {
    breaks_by_number();
    let (text, content) = said("less", "0.2.0", |new| {
        new.api(|api| api["abi_version"] = 1.into());
        new.header("CONSUL_LOCK_ABI_VERSION 2", "CONSUL_LOCK_ABI_VERSION 1");
    });
    assert!(
        text.contains("error     the ABI version was 2, and is 1") && !content,
        "{text}"
    );
}

/// A break of the meaning alone is one, too.
fn breaks_by_number() {
    let (text, content) = said("grown", "0.1.5", Copy::anew);
    assert!(
        text.contains("break     the ABI version was 2, and is 3\n") && !content,
        "{text}"
    );
}

#[test]
fn from_1_0_on_a_break_needs_a_major_version() {
    let folder = scratch("abi_changes").join("major");
    let old = Copy::of_version(&folder.join("old"), "1.4.2");
    for (version, fits) in [("1.5.0", false), ("2.0.0", true)] {
        let new = Copy::of_version(&folder.join("new"), version);
        new.without_renew();
        new.anew();
        let (text, content) = compared(&old, &new);
        assert!(
            text.contains(
                "a break after 1.4.2 needs the version 2.0.0 and the SONAME libconsul_lock.so.2;"
            ),
            "{text}"
        );
        assert_eq!(content, fits, "{text}");
    }
    let new = Copy::of_version(&folder.join("new"), "1.5.0");
    with_a_function(&new, " 1.5.0");
    let (text, content) = compared(&old, &new);
    assert!(
        text.contains(
            "an addition after 1.4.2 needs the version 1.5.0 and the SONAME libconsul_lock.so.1;"
        ),
        "{text}"
    );
    assert!(content, "{text}");
}
