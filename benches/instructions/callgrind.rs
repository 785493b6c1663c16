//! Reads a profile of callgrind ("Callgrind Format Specification" in valgrind's manual): the instructions of a run, by
//! the part of the program whose they are.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The functions of the C library that give and take memory.
const MEMORY: [&str; 12] = [
    "malloc",
    "free",
    "calloc",
    "realloc",
    "posix_memalign",
    "_int_malloc",
    "_int_free",
    "_int_realloc",
    "malloc_consolidate",
    "unlink_chunk",
    "tcache",
    "systrim",
];

/// The crates that read JSON.
const JSON: [&str; 6] = ["serde_json", "serde", "serde_core", "itoa", "ryu", "zmij"];

/// The names of one kind: a profile has a name in full once, and then as its number.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn of(&mut self, text: &str) -> String {
        let Some((number, name)) = text.split_once(')') else {
            return text.to_owned();
        };
        let known = self.0.entry(number.to_owned()).or_default();
        if !name.is_empty() {
            name.trim_start().clone_into(known);
        }
        known.clone()
    }
}

/// The instructions of each part.
pub(crate) fn by_owner(profile: &str, root: &Path) -> BTreeMap<String, u64> {
    let (mut objects, mut files, mut functions) =
        (Names::default(), Names::default(), Names::default());
    let (mut object, mut home, mut file, mut function) = Default::default();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut owner = None;
    let mut is_call = false;
    for line in profile.lines() {
        let (key, value) = line.split_once('=').unwrap_or_default();
        match key {
            "ob" => object = objects.of(value),
            "fl" => {
                home = files.of(value);
                file = home.clone();
            }
            // The code of another file, inlined into this function.
            "fi" | "fe" => file = files.of(value),
            "fn" => function = functions.of(value),
            // What is called is no part of this function, but its names are given here.
            "cob" => drop(objects.of(value)),
            "cfi" | "cfl" => drop(files.of(value)),
            "cfn" => drop(functions.of(value)),
            "calls" => is_call = true,
            _ if line
                .starts_with(|first: char| "+-*".contains(first) || first.is_ascii_digit()) =>
            {
                let cost: Option<u64> = line.split(' ').nth(1).and_then(|cost| cost.parse().ok());
                // The line after `calls` is what the called function took.
                if let (false, Some(cost)) = (std::mem::take(&mut is_call), cost) {
                    let owner = owner
                        .get_or_insert_with(|| self::owner(&object, &home, &file, &function, root));
                    *counts.entry(owner.clone()).or_default() += cost;
                }
                continue;
            }
            _ => continue,
        }
        owner = None;
    }
    counts
}

/// Whose the code is. Code of Rust's standard library counts for the function that it is inlined into.
fn owner(object: &str, home: &str, file: &str, function: &str, root: &Path) -> String {
    if !object.contains("libconsul_lock") {
        let is_memory = |name: &&str| function.starts_with(name);
        return match () {
            () if MEMORY.iter().any(is_memory) => "malloc and free",
            () if object.ends_with("/instructions") || object.contains("/instructions-") => {
                "the program that measures"
            }
            () => "the rest of the C library, and the loader",
        }
        .to_owned();
    }
    for file in [file, home] {
        if let Some((_, path)) = file.split_once("/registry/src/") {
            let name = path.split('/').nth(1).unwrap_or_default();
            let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
            return match name {
                name if JSON.contains(&name) => "serde_json and its parts".to_owned(),
                name => format!("{name} (crate)"),
            };
        }
        let own = file
            .strip_prefix(&format!("{}/", root.display()))
            .unwrap_or(file);
        if let Some(path) = own.strip_prefix("src/") {
            return match path.split_once('/') {
                Some(("core", _)) => "src/core",
                Some(("consul", rest)) if rest.starts_with("verdict") => "src/consul/verdict",
                Some(("consul", rest)) if rest.starts_with("encode") => "src/consul/encode",
                Some(("consul", _)) => "src/consul, the HTTP side",
                Some(("runtime", _)) => "src/runtime",
                _ => "src, all else (boundary, lock, client, options)",
            }
            .to_owned();
        }
    }
    "Rust's standard library".to_owned()
}
