import { holder } from "consul-lock";

const found = await holder("nightly-report");
console.log(found ? `${found.name} on ${found.node}` : "free");
