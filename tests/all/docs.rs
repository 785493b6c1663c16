//! What the documents say is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::root;

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect(file)
}

/// The tests of the examples compile and run `examples/first.c`; the README shows that very text.
#[test]
fn the_first_program_of_the_readme_is_the_one_that_is_tested() {
    let readme = text("README.md");
    let (_, rest) = readme.split_once("```c\n").expect("a program");
    let (program, _) = rest.split_once("```").expect("its end");
    assert_eq!(program, text("examples/first.c"));
    assert!(program.lines().count() < 20, "a first program is short");
}

/// Links between the documents lead somewhere.
#[test]
fn links_lead_somewhere() {
    let mut documents = vec![
        "README.md".into(),
        "CONTRIBUTING.md".into(),
        "CHANGELOG.md".into(),
        "RELEASING.md".into(),
        "SECURITY.md".into(),
    ];
    for entry in fs::read_dir(root().join("docs")).expect("docs") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    for entry in fs::read_dir(root().join("bindings")).expect("bindings") {
        let readme = entry.expect("an entry").path().join("README.md");
        let below = readme.strip_prefix(root()).expect("below").to_owned();
        if readme.exists() {
            documents.push(below.into_os_string().into_string().expect("UTF-8"));
        }
    }
    for document in documents {
        let folder = root()
            .join(&document)
            .parent()
            .expect("a folder")
            .to_path_buf();
        let text = text(&document);
        // Code may look like a link.
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1) {
            let (target, _) = link.split_once(')').expect("the end of a link");
            let (target, _) = target.split_once('#').unwrap_or((target, ""));
            if !target.starts_with("http") {
                assert!(folder.join(target).exists(), "{document}: {target}");
            }
        }
    }
}

/// `docs/correctness.md` names tests that exist.
#[test]
fn the_checklist_names_tests_that_exist() {
    let mut sources = String::new();
    for folder in [
        "tests/all",
        "tests/sim",
        "src",
        "src/core",
        "src/core/watch",
        "src/consul",
        "src/consul/verdict",
        "src/consul/transport",
    ] {
        for entry in fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let document = text("docs/correctness.md");
    let (_, checklist) = document
        .split_once("## The checklist")
        .expect("a checklist");
    let mut named = 0;
    for name in checklist.split('`').skip(1).step_by(2) {
        if name.contains('_') && !name.contains(['.', '/', ' ']) && !name.starts_with("consul_lock")
        {
            assert!(sources.contains(&format!("fn {name}()")), "no test {name}");
            named += 1;
        }
    }
    assert!(named > 25, "{named}");
    for point in 1..=48 {
        assert!(
            checklist.contains(&format!("\n| {point} | ")),
            "point {point}"
        );
    }
}

/// The tests below a folder by their paths: `tests/sim/late.rs` has `sim::late::NAME`.
fn tests_below(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let module = format!("{module}{name}::");
        if path.is_dir() {
            tests_below(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            for test in source.split("#[test]\n").skip(1) {
                let (_, test) = test.split_once("fn ").expect("a function");
                let (test, _) = test.split_once('(').expect("its arguments");
                found.insert(format!("{module}{test}"));
            }
        }
    }
}

/// The names of the footnotes in a text, such as `[^held]`.
fn footnotes(text: &str) -> Vec<&str> {
    let names = text.split("[^").skip(1);
    names
        .filter_map(|rest| Some(rest.split_once(']')?.0))
        .collect()
}

/// The paragraphs, the items of lists and the rows of tables (without their heads) below the headings of a page. What
/// ends with a colon begins what follows.
fn statements(page: &str) -> Vec<String> {
    let (_, page) = page.split_once("\n## ").expect("a heading");
    let mut statements: Vec<String> = Vec::new();
    let (mut open, mut head) = (false, true);
    for line in page.lines().skip(1) {
        let is_row = line.starts_with('|');
        if line.starts_with("| ---") {
            head = false;
        } else if is_row && !head {
            statements.push(line.trim_end_matches(['|', ' ']).to_owned());
        } else if open && !line.is_empty() && !line.starts_with("* ") {
            let last = statements.last_mut().expect("it is open");
            last.push('\n');
            last.push_str(line);
        } else if !is_row && !line.is_empty() && !line.starts_with('#') {
            statements.push(line.to_owned());
        }
        head |= !is_row;
        open = !is_row && !line.is_empty() && !line.starts_with('#');
    }
    statements.retain(|statement| !statement.ends_with(':'));
    statements
}

/// `docs/guarantees.md` names the test that fails when a sentence is not so: each paragraph, each item and each row ends
/// with a footnote, and each footnote names tests that exist, or why there is none.
#[test]
fn each_guarantee_names_its_tests() {
    let document = text("docs/guarantees.md");
    let (page, tests) = document.split_once("\n## The tests\n").expect("the tests");
    let statements = statements(page);
    assert!(statements.len() > 45, "{}", statements.len());
    for statement in &statements {
        let (_, end) = statement.rsplit_once("[^").unwrap_or_default();
        assert!(
            end.ends_with(']') && !end.contains(' '),
            "no test shows: {statement}"
        );
    }

    let mut found = BTreeSet::new();
    tests_below(&root().join("tests/all"), "", &mut found);
    tests_below(&root().join("tests/sim"), "sim::", &mut found);
    tests_below(&root().join("src"), "", &mut found);
    let mut notes = BTreeSet::new();
    for note in tests.split("\n[^").skip(1) {
        let (name, note) = note.split_once("]: ").expect("a footnote");
        assert!(notes.insert(name), "{name} twice");
        let names: Vec<&str> = note.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || note.starts_with("No test: "), "{name}");
        for test in names.into_iter().filter(|name| name.contains(['/', ':'])) {
            let exists = found.contains(test) || root().join(test).is_file();
            assert!(exists, "{name}: there is no {test}");
        }
    }
    let used: BTreeSet<&str> = footnotes(page).into_iter().collect();
    assert_eq!(used, notes);
}
