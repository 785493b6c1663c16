//! Every arrow between modules points down, no two modules need each other but a parent and its child, and a type
//! name stands once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The ground comes first. A module uses what stands in lines above its own.
const LAYERS: [&[&str]; 10] = [
    &["error", "lockorder", "sys", "text"],
    &["clock", "fork", "key", "memory", "threads"],
    &["callbacks", "options"],
    &["core", "defaults"],
    &["log"],
    &["consul", "queue"],
    &["runtime"],
    &["client"],
    &["lock"],
    &["ffi"],
];

/// Each module (`consul::tls`) with the modules that it names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The modules below a folder, with their text up to their tests.
fn modules(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let whole = [name, stem].join("::");
        match stem {
            _ if path.is_dir() => modules(&path, &whole, found),
            "lib" | "tests" => {}
            _ => {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                let lines = code.lines().map(|line| line.split("//").next().unwrap());
                let code = lines.collect::<Vec<_>>().join("\n");
                let whole = whole.trim_end_matches("::mod").to_owned();
                found.insert(whole.trim_start_matches("::").to_owned(), code);
            }
        }
    }
}

/// The paths of a text that begin with `crate::` or `super::`, those in braces one by one.
fn paths(code: &str) -> Vec<String> {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let (mut found, mut before, mut last) = (Vec::new(), Vec::new(), String::new());
    for c in code.chars() {
        match c {
            c if plain(c) => last.push(c),
            '{' if last.ends_with("::") || !before.is_empty() => {
                before.push(std::mem::take(&mut last))
            }
            _ => {
                let whole = before.concat() + &last;
                if ["crate::", "super::"]
                    .iter()
                    .any(|start| whole.starts_with(start))
                {
                    found.push(whole);
                }
                last.clear();
                if c == '}' || c == ';' {
                    before.pop();
                }
            }
        }
    }
    found
}

fn arrows(modules: &BTreeMap<String, String>) -> Arrows {
    let target = |from: &str, path: &str| {
        let mut base: Vec<&str> = from.split("::").collect();
        for part in path.split("::") {
            match part {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                part => base.push(part),
            }
        }
        let names = (1..=base.len()).rev().map(|end| base[..end].join("::"));
        names.into_iter().find(|name| modules.contains_key(name))
    };
    let of = |(from, code): (&String, &String)| {
        let to = paths(code)
            .into_iter()
            .filter_map(|path| target(from, &path));
        (from.clone(), to.filter(|to| to != from).collect())
    };
    modules.iter().map(of).collect()
}

fn layer(module: &str) -> usize {
    let top = module.split("::").next().unwrap();
    let found = LAYERS.iter().position(|layer| layer.contains(&top));
    found.unwrap_or_else(|| panic!("{top} stands in no layer: add it to LAYERS"))
}

/// The arrows that do not point down.
fn wrong(arrows: &Arrows) -> Vec<String> {
    let all = arrows
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let same = |a: &str, b: &str| a.split("::").next() == b.split("::").next();
    all.filter(|(from, to)| !same(from, to) && layer(to) >= layer(from))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

/// The modules that lead back to themselves, by other ways than between a parent and its child.
fn circles(arrows: &Arrows) -> Vec<String> {
    let related =
        |a: &str, b: &str| a.starts_with(&format!("{b}::")) || b.starts_with(&format!("{a}::"));
    let next = |from: &str| -> Vec<&str> {
        let to = arrows.get(from).into_iter().flatten().map(String::as_str);
        to.filter(|to| !related(from, to)).collect()
    };
    let leads_back = |start: &&String| {
        let (mut seen, mut open) = (BTreeSet::new(), next(start));
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(next(at));
            }
        }
        seen.contains(start.as_str())
    };
    arrows.keys().filter(leads_back).cloned().collect()
}

/// The names of types that several modules define, without the associated types of traits.
fn defined_twice(modules: &BTreeMap<String, String>) -> Vec<String> {
    let mut defined: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, code) in modules {
        for line in code.lines().filter(|line| !line.starts_with(' ')) {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            let is_kind = |word: &str| ["struct", "enum", "trait", "type"].contains(&word);
            if words.any(is_kind) {
                defined
                    .entry(words.next().unwrap())
                    .or_default()
                    .insert(module);
            }
        }
    }
    defined.retain(|_, modules| modules.len() > 1);
    let twice = defined
        .iter()
        .map(|(name, modules)| format!("{name}: {modules:?}"));
    twice.collect()
}

#[test]
fn every_arrow_points_down_and_there_is_no_circle() {
    let mut all = BTreeMap::new();
    modules(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut all,
    );
    assert!(all.len() > 50, "{:?}", all.keys());
    let arrows = arrows(&all);
    assert!(
        arrows["runtime::requests"].contains("consul::verdict")
            && arrows["consul::tls"].contains("consul::files")
    );
    assert_eq!(wrong(&arrows), [""; 0]);
    assert_eq!(circles(&arrows), [""; 0]);
}

#[test]
fn a_type_name_stands_once() {
    let mut all = BTreeMap::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    modules(&src, "", &mut all);
    assert!(
        all["lock"].contains("\npub struct Lock {"),
        "lines are kept"
    );
    assert_eq!(defined_twice(&all), [""; 0]);
    all.insert("other".to_owned(), "pub(crate) enum Lock<T> {".to_owned());
    assert_eq!(defined_twice(&all), [r#"Lock: {"lock", "other"}"#]);
}

#[test]
fn a_wrong_arrow_and_a_circle_are_found() {
    let made_up = [
        ("log", "use crate::runtime::{timer::{self, Timer}, Job};"),
        (
            "runtime",
            "use timer::Timer; use crate::{error::Error, consul};",
        ),
        ("runtime::timer", "use super::Job;"),
        ("consul", ""),
        ("consul::names", "fn f() -> super::errand::Wait { g() }"),
        ("consul::errand", "use super::names::Names;"),
        ("error", ""),
    ];
    let made_up = made_up.map(|(name, code)| (name.to_owned(), code.to_owned()));
    let arrows = arrows(&made_up.into());
    assert_eq!(wrong(&arrows), ["log -> runtime", "log -> runtime::timer"]);
    assert_eq!(circles(&arrows), ["consul::errand", "consul::names"]);
}
