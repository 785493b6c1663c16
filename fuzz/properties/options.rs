//! Options by name, from setters and from the environment: a refusal shows no secret, is remembered, and is one line; what
//! is taken is inside of the range.
//!
//! The first line of an input is the name, the rest the value.

use super::{MARK, head, is_fit_to_show};
use crate::error::{Error, Status};
use crate::options::{OptionPlace, OptionValues, Options, TABLE, ValueKind};

pub(super) fn property(data: &[u8]) {
    let (name, value) = head(data);
    let (Ok(name), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
        return;
    };
    let mut options = Options::new();
    let set = options.set(name, text);
    let row = TABLE.iter().find(|row| row.name == name);
    match &set {
        Ok(()) => {
            let row = row.expect("an option that is known");
            assert_eq!(options.refusal(), None);
            let place = row.places[0];
            let values = options.values_for(place).expect("its place");
            if let ValueKind::Int { min, max } = row.kind {
                assert!((min..=max).contains(&values.int(row.name)));
                assert_eq!(text.parse(), Ok(values.int(row.name)));
                let mut by_number = Options::new();
                assert_eq!(by_number.set_int(name, values.int(row.name)), Ok(()));
            }
            let other = match place {
                OptionPlace::Lock => OptionPlace::Client,
                _ => OptionPlace::Lock,
            };
            assert_eq!(
                options.values_for(other).is_ok(),
                row.places.contains(&other)
            );
        }
        Err(error) => {
            is_a_refusal(error);
            assert_eq!(options.refusal().as_ref(), Some(error));
            assert!(options.values_for(OptionPlace::Lock).is_err());
        }
    }
    if row.is_some_and(|row| row.secret) {
        let shown = match options.set(name, &format!("{text}{MARK}")) {
            Ok(()) => format!("{options:?}"),
            Err(error) => error.message,
        };
        assert!(!shown.contains(MARK), "{shown}");
    }
    let mut bytes = Options::new();
    if let Err(error) = bytes.set_bytes(name, &[value, MARK.as_bytes()].concat()) {
        is_a_refusal(&error);
        assert!(!error.message.contains(MARK), "{}", error.message);
    }
    if let Some((row, variable)) = row.and_then(|row| Some((row, row.env?))) {
        let taken = OptionValues::default().take(row, variable, text);
        assert!(taken.is_ok() == set.is_ok());
        if let Err(error) = taken {
            assert!(error.message.starts_with(variable));
            assert_eq!(error.status, Status::InvalidEnvironment);
            is_a_refusal(&error);
        }
    }
}

fn is_a_refusal(error: &Error) {
    let message = &error.message;
    assert!(
        is_fit_to_show(message) && message.len() < 3_000,
        "{message}"
    );
}
