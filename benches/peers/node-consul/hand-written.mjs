// A lock as one writes it with the npm package consul of today, which has none: a session, a key, and
// a blocking query to wait, as Consul's own guide says.

import Consul from "consul";
import { obey } from "./contract.mjs";

obey((host, port, key) => {
  const consul = new Consul({ host, port });
  return async () => {
    const { ID } = await consul.session.create({ ttl: "15s", behavior: "delete", lockdelay: "0s" });
    while (!(await consul.kv.set({ key, value: "", acquire: ID }))) {
      // The first read does not wait: the lock may be free again by now.
      let row = await consul.kv.get({ key });
      while (row?.Session) {
        row = await consul.kv.get({ key, index: row.ModifyIndex, wait: "10s" });
      }
    }
    return () => consul.session.destroy(ID);
  };
});
