//! The properties of the command's parsers, as those of the library in `fuzz/properties`: a part of the command in its unit
//! tests, which try the inputs of `fuzz/corpus`, and of the targets.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod when;

/// Panics if the property does not hold for these bytes.
pub fn check(data: &[u8]) {
    when::property(data);
}

#[cfg(test)]
#[test]
fn inputs_of_when() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/when");
    let inputs = std::fs::read_dir(folder).expect("a corpus");
    let inputs: Vec<_> = inputs
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(inputs.len() > 2, "the corpus has {} inputs", inputs.len());
    for path in inputs {
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("readable"));
    }
}
