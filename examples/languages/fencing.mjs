import { hold } from "consul-lock";

// Stands for UPDATE account SET balance = $1, token = $2 WHERE id = 7 AND token <= $2
const account = { balance: 0, token: 0n };
function write(balance, token) {
  if (token < account.token) {
    return console.log("refused: a later holder has written");
  }
  Object.assign(account, { balance, token });
  console.log(`written: ${balance}`);
}

// Takes the lock once, and returns the token, a BigInt.
const turn = () => hold("account/7", async ({ fencingToken }) => fencingToken);

const earlier = await turn();
const later = await turn();
write(200, later);
write(100, earlier); // by a holder that was paused for too long
