// Only one process in the whole datacenter makes the report at a time.
import { hold } from "consul-lock";

try {
  await hold("nightly-report", async () => {
    console.log("making the report");
  });
} catch (error) {
  console.log(`no report: ${error.message}`);
  process.exitCode = 1;
}
