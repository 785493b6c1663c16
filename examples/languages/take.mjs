import { hold } from "consul-lock";

try {
  await hold("nightly-report", async () => console.log("making the report"));
} catch (error) {
  console.error(`no report: ${error.message}`);
  process.exitCode = 1;
}
