// Readers share a table and a writer has it alone, at most two workers convert files, and a transfer locks two accounts.
import { hold } from "consul-lock";

const patient = { acquireTimeoutMs: 10_000 };

await hold("table", patient, async ({ lock }) => {
  console.log("writing");
  await lock.downgrade(); // readers may enter, and no other writer comes between
  await hold("table", { ...patient, share: true }, async () => console.log("reading together"));
  await lock.upgrade({ timeoutMs: 10_000 }); // waits for the other readers
  console.log("writing again");
});

const convert = async ({ slot }) => slot;
const workers = [1, 2, 3].map(() => hold("convert", { ...patient, limit: 2 }, convert));
const slots = await Promise.all(workers);
console.log(slots.every((slot) => slot < 2) ? "the slots are 0 and 1" : slots);

await hold(["account/7", "account/3"], patient, async () => console.log("transferring"));
