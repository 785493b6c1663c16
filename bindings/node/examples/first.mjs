// Only one server at a time makes the report, in the whole datacenter.
import { hold } from "consul-lock";

try {
  await hold("nightly-report", async () => {
    console.log("making the report");
  });
} catch (error) {
  console.log(`no report: ${error.message}`);
  process.exitCode = 1;
}
