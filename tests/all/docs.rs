//! What the documents say is so.

use std::fs;

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
