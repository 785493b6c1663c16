//! Requests that the library never sends, and other clients of Consul do.

use super::super::model::NODE as AGENT;
use super::sequences::op;
use super::*;

/// Each of these requests once, those that Consul refuses among them.
pub(super) fn of_other_clients() -> Vec<Step> {
    let mut steps = vec![
        Step::delete("/v1/kv/?recurse"),
        Step::get("/v1/kv/?recurse"),
        Step::get("/v1/kv/?keys"),
    ];
    for name in ["p/a", "p/b/c", "p/b/d", "p/e", "px"] {
        steps.push(Step::put(format!("/v1/kv/c/{name}?flags=3"), name));
    }
    let reads = [
        "c/p/?recurse",
        "c/p?recurse",
        "c/none?recurse",
        "c/?keys&separator=/",
        "c/p/?keys&separator=/",
        "c/p?keys=&separator=/",
        "c/p/?keys&separator=b%2F",
        "c/p/a?raw",
        "c/none?raw",
        "c/p/a?recurse&keys",
        "",
        "c/p/a?stale",
        "c/p/a?stale&consistent",
        "c/p/a?dc=dc1",
        "c/p/a?dc=",
        "c/p/a?dc=nowhere",
        "c/p/a?token=t",
        "c/p/a?index=1&wait=",
        "c/p/a?wait=1",
        "c/p/a?wait=-1s",
        "c/p/a?wait=1.5s",
        "c/p/a?ns=other",
        "c/a%C2%A0b",
        "c/a%01b",
        "c/a%C3%BCb",
        "c/a%E2%80%A8",
        "c/a%7F",
        "c/a%EF%BF%BD",
        "c/%CC%80a",
    ];
    steps.extend(reads.map(|read| Step::get(format!("/v1/kv/{read}"))));
    let puts = [
        "a?cas=0",
        "a?cas={M:c/p/a}",
        "new?cas=0",
        "new?cas=7",
        "a?cas=x",
        "a?flags=x",
        "a?flags=-1",
        "a?flags=",
        "a?flags=18446744073709551616",
        "a?flags=18446744073709551615",
        "a?cas=0&acquire=x",
        "a?release=x&acquire=y",
    ];
    for put in puts {
        steps.push(Step::get("/v1/kv/c/p/a"));
        steps.push(Step::put(format!("/v1/kv/c/p/{put}"), "v"));
    }
    let deletes = [
        "p/a?cas=0",
        "p/a?cas=1",
        "p/a?cas=x",
        "p/none?cas=0",
        "p/none?cas=9",
        "p/b/?recurse",
        "p/?cas=1&recurse",
        "p/a?cas={M:c/p/a}",
        "p/",
        "p?recurse",
    ];
    for delete in deletes {
        steps.push(Step::get("/v1/kv/c/p/a"));
        steps.push(Step::delete(format!("/v1/kv/c/{delete}")));
        steps.push(Step::get("/v1/kv/c/?keys"));
    }
    steps.push(Step::delete("/v1/kv/"));
    let bodies = [
        "{\"LockDelay\":\"x\"}",
        "{\"LockDelay\":-5}",
        "{\"LockDelay\":true}",
        "{\"LockDelay\":\"1.5s\"}",
        "{\"LockDelay\":1.5}",
        "{\"LockDelay\":null}",
        "{\"LockDelay\":\"90s\"}",
        "{\"TTL\":\"-10s\"}",
        "{\"TTL\":\"10.5s\"}",
        "{\"TTL\":\"10\"}",
        "{\"TTL\":\"10x\"}",
        "{\"Checks\":[\"web\"]}",
        "{\"Checks\":null}",
        "{\"Other\":5}",
        "{",
        "{\"Node\":\"nowhere\"}",
        "{\"Node\":\"\"}",
        "{\"ServiceChecks\":[{\"ID\":\"a\"}]}",
        "{\"NodeChecks\":[],\"Checks\":[\"serfHealth\"]}",
        "{\"lockdelay\":\"3s\",\"ttl\":\"15s\"}",
        "{\"ID\":\"x\"}",
    ];
    for body in bodies {
        let create = Step::put("/v1/session/create", body);
        let session = Some(6);
        steps.push(Step { session, ..create });
        steps.push(Step::get("/v1/session/info/{S6}"));
        steps.push(Step::get(format!("/v1/session/node/{AGENT}")));
        steps.push(Step::put("/v1/session/destroy/{S6}", ""));
    }
    steps.extend(["info", "node"].map(|verb| Step::get(format!("/v1/session/{verb}/nowhere"))));
    steps.extend(["renew", "destroy"].map(|verb| Step::put(format!("/v1/session/{verb}/"), "")));
    let many = vec![op("set", "c/k", ""); 129];
    steps.extend([
        Step::get("/v1/session/info/"),
        Step::get("/v1/session/node/nowhere"),
        Step::txn(&many),
        Step::put("/v1/txn", ""),
        Step::put("/v1/txn", "{}"),
        Step::txn(&[op("set", "c/k", ",\"Value\":\"%%\"")]),
        Step::txn(&[op("set", "c/t/a", ""), op("set", "c/t/b", "")]),
        Step::txn(&[op("delete-tree", "c/t/", ""), op("get-tree", "c/", "")]),
        Step::put("/v1/catalog/register", "{}"),
        Step::put("/v1/catalog/register", "{\"Node\":\"n\"}"),
        Step::put("/v1/catalog/deregister", "{}"),
        Step::get("/v1/catalog/datacenters"),
        Step::get("/v1/catalog/node/nowhere"),
    ]);
    steps
}
