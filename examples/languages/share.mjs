import { hold } from "consul-lock";

async function unlessBusy(busy, work) {
  try {
    await work();
  } catch (error) {
    if (error.code !== "ERR_CONSUL_LOCK_NOT_ACQUIRED") throw error;
    console.log(busy);
  }
}

await unlessBusy("all licences are in use", () =>
  hold("licence", { limit: 3 }, async ({ slot }) => console.log(`licence ${slot} of 0 to 2`)),
);
await unlessBusy("an account is in use", () =>
  hold(["account/7", "account/3"], async () => console.log("moving the money")),
);
