// The requests of the library's cycle through a socket of Node, without a lock library: what Node alone takes for them. The
// command `cycles` of ../peers/README.md.

import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

const [address, key] = process.argv.slice(2);
if (key === undefined) {
  console.error("usage: raw.mjs ADDRESS KEY");
  process.exit(2);
}
const [host, port] = address.split(":");
const socket = createConnection({ host, port: Number(port), noDelay: true });
await once(socket, "connect");
const now = () => process.hrtime.bigint();

let come = "";
let told;
socket.on("data", (bytes) => {
  come += bytes;
  const [head, body] = come.split("\r\n\r\n", 2);
  if (body === undefined || body.length < Number(/^Content-Length: (\d+)/m.exec(head)[1])) return;
  if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(head);
  come = "";
  told(body);
});

function put(path, body) {
  socket.write(`PUT ${path} HTTP/1.1\r\nHost: ${address}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  return new Promise((resolve) => {
    told = resolve;
  });
}

const wanted = { TTL: "180s", Behavior: "delete", LockDelay: "0s", NodeChecks: [] };
const session = JSON.parse(await put("/v1/session/create", JSON.stringify(wanted))).ID;
const acquire = JSON.stringify([
  { KV: { Verb: "check-not-exists", Key: key } },
  {
    KV: {
      Verb: "lock",
      Key: key,
      Value: "eyJsb2NrZWRfYXQiOiIyMDI2LTAxLTAxVDAwOjAwOjAwLjAwMFoifQ==",
      Flags: 1,
      Session: session,
    },
  },
  { KV: { Verb: "get-tree", Key: `${key}/.share/` } },
]);
const release = JSON.stringify([
  { KV: { Verb: "check-session", Key: key, Session: session } },
  { KV: { Verb: "delete", Key: key } },
]);
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const times = [];
  for (let i = Number(line.split(" ")[1]); i > 0; i--) {
    const begun = now();
    await put("/v1/txn", acquire);
    await put("/v1/txn", release);
    times.push(now() - begun);
  }
  console.log(`cycles ${times.join(" ")}`);
}
await put(`/v1/session/destroy/${session}`, "");
socket.end();
