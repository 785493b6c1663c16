// The lock that the npm package consul had until 0.40.0.

import Consul from "consul-with-lock";
import { obey } from "./contract.mjs";

obey((host, port, key) => {
  const consul = new Consul({ host, port });
  return () =>
    new Promise((acquired, failed) => {
      const lock = consul.lock({ key });
      const release = () =>
        new Promise((released) => {
          lock.on("end", released);
          lock.release();
        });
      lock.on("acquire", () => acquired(release));
      lock.on("error", failed);
      lock.acquire();
    });
});
