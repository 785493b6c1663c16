//! Addresses of Consul and of a proxy. An address that is shown is the address again, what is sent has no character that
//! ends a header, and no refusal quotes an address, which may have a password.

use crate::consul::address::{Address, Destination};

pub(super) fn property(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Address::parse_list(text) {
        Ok(list) => {
            assert_eq!(list.len(), text.split(',').count());
            list.iter().for_each(is_well_formed);
        }
        // Numbers alone come from the text.
        Err(why) => assert!(
            why.is_ascii() && why.len() < 160 && !why.contains('@'),
            "{why}"
        ),
    }
    let with_password = format!("http://bob:hunter2s-s3cret@{text}");
    if let Err(why) = Address::parse(&with_password) {
        assert!(!why.contains("hunter2s"), "{why}");
    }
}

fn is_well_formed(address: &Address) {
    let authority = address.authority();
    assert!(
        authority.bytes().all(|byte| byte.is_ascii_graphic()),
        "{authority}"
    );
    let in_path = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
    assert!(address.prefix.bytes().all(in_path) && !address.prefix.ends_with('/'));
    match &address.destination {
        Destination::Unix(path) => assert!(path.as_os_str().len() <= 107),
        Destination::Tcp { host, port } => {
            assert!(*port > 0 && !host.is_empty());
            // A zone with a percent sign of its own is none (RFC 6874), and is not shown as it came in.
            if host.matches('%').count() < 2 && !host.contains("%25") {
                let again = Address::parse(&address.to_string()).expect("what is shown");
                assert_eq!(again, *address);
            }
        }
    }
}
