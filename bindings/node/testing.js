// The entry for `import`, with the same objects as `require` gives.
import implementation from "./testing.cjs";

export const { Consul, startConsul } = implementation;
