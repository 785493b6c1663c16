// A dashboard shows the leader, before, during and after its time.
import { hold, observe } from "consul-lock";

const observer = observe("primary");

async function show() {
  const { value } = await observer.next(); // waits for the next change
  const { holder, error } = value;
  console.log(error?.message ?? (holder ? `led by ${holder.value}` : "no leader"));
}

await show();
await hold("primary", { value: "10.0.0.7:80" }, show);
await show();
observer.close();
