//! `consul-lock run`, on a real Consul.

use crate::support::prelude::*;

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let ended = Running::start(&mut consul_lock(consul(), &["no-such-command"])).end();
    let ended = ended.expect_code(64);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("no-such-command"), "{ended:?}");
}
