// A holder that was paused past the end of its lock must not overwrite what its successor wrote: the
// database refuses a smaller token than the last one it has seen.
import { hold } from "consul-lock";

// Stands for your database: UPDATE account SET balance = $1, token = $2 WHERE token <= $2
const account = { balance: 0, token: 0n };
function write(balance, token) {
  if (token < account.token) {
    throw new Error(`token ${token} is of the past`);
  }
  Object.assign(account, { balance, token });
}

await hold("account/7", async ({ fencingToken }) => {
  write(100, fencingToken);
});
console.log(`the balance is ${account.balance}`);
