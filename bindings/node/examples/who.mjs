// Says who makes the report just now.
import { holder } from "consul-lock";

const found = await holder("nightly-report");
console.log(found === null ? "nobody" : `${found.name} on ${found.node}`);
