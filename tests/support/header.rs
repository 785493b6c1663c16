//! Reads the headers of C: their functions and callbacks, as cbindgen writes them.

use std::fs;

use super::root;

/// A parameter.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Param {
    /// Whether a NULL can be given for it.
    pub(crate) fn is_pointer(&self) -> bool {
        self.kind.contains('*') || CALLBACKS.contains(&self.kind.as_str())
    }
}

/// The types of the headers that are pointers to functions of the host.
pub(crate) const CALLBACKS: [&str; 8] = [
    "consul_lock_lost_callback",
    "consul_lock_user_data_free",
    "consul_lock_value_generator",
    "consul_lock_observe_callback",
    "consul_lock_log_callback",
    "consul_lock_done",
    "consul_lock_holder_done",
    "consul_lock_holders_done",
];

/// For code that calls and waits, and for event loops.
pub(crate) const HEADERS: [&str; 2] = ["consul_lock.h", "consul_lock_async.h"];

/// A function, or the type of one.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) returns: String,
    pub(crate) params: Vec<Param>,
}

/// The declarations of the headers, each on one line, without comments and preprocessor lines.
fn declarations() -> Vec<String> {
    HEADERS.into_iter().flat_map(declarations_of).collect()
}

fn declarations_of(header: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("include").join(header)).expect("the header");
    let mut code = String::new();
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("comments end").1;
    }
    code.push_str(rest);
    let code: Vec<&str> = code.lines().filter(|line| !line.starts_with('#')).collect();
    let code = code.join(" ").replace("extern \"C\" {", "");
    code.split(';')
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// `type name` or `type *name`.
fn typed(text: &str) -> (String, String) {
    let end = text.rfind([' ', '*']).expect("a type and a name") + 1;
    let (kind, name) = text.split_at(end);
    (kind.trim().to_owned(), name.to_owned())
}

fn params(text: &str) -> Vec<Param> {
    if text == "void" {
        return Vec::new();
    }
    let split = text.split(',').map(|param| typed(param.trim()));
    split.map(|(kind, name)| Param { name, kind }).collect()
}

/// Every function of the headers, in their order.
pub(crate) fn functions() -> Vec<Function> {
    let mut all = Vec::new();
    for text in declarations() {
        let text = text.replace("CONSUL_LOCK_MUST_USE ", "");
        let Some((head, tail)) = text.split_once('(') else {
            continue;
        };
        if head.starts_with("typedef") {
            continue;
        }
        let (returns, name) = typed(head.trim());
        let inside = tail.strip_suffix(')').expect("a prototype");
        all.push(Function {
            name,
            returns,
            params: params(inside),
        });
    }
    assert!(
        all.len() > 30,
        "only {} functions found in the headers",
        all.len()
    );
    all
}

/// Every callback type of the headers.
pub(crate) fn callbacks() -> Vec<Function> {
    let mut all = Vec::new();
    for text in declarations() {
        let Some((returns, tail)) = text
            .strip_prefix("typedef ")
            .and_then(|t| t.split_once("(*"))
        else {
            continue;
        };
        let (name, inside) = tail.split_once(")(").expect("a pointer to a function");
        let inside = inside.strip_suffix(')').expect("a prototype");
        all.push(Function {
            name: name.to_owned(),
            returns: returns.trim().to_owned(),
            params: params(inside),
        });
    }
    let names: Vec<&str> = all.iter().map(|callback| callback.name.as_str()).collect();
    assert_eq!(names, CALLBACKS);
    all
}

/// The names of an enumeration, without their prefix, and their numbers.
pub(crate) fn enumeration(name: &str, prefix: &str) -> Vec<(String, i64)> {
    let of_type = |text: &String| text.ends_with(&format!("}} {name}"));
    let text = declarations().into_iter().find(of_type);
    let text = text.unwrap_or_else(|| panic!("{name} is in the header"));
    let (_, inside) = text.split_once('{').expect("an enumeration");
    let (inside, _) = inside.split_once('}').expect("an enumeration");
    let rows = inside.split(',').filter(|row| !row.trim().is_empty());
    rows.map(|row| {
        let (name, number) = row.split_once('=').expect("explicit numbers");
        let name = name.trim().strip_prefix(prefix).expect("the prefix");
        (name.to_owned(), number.trim().parse().expect("a number"))
    })
    .collect()
}
