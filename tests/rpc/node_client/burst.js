// Makes many calls at once on one connection, and prints how many ended with each status.
// Usage: node burst.js ADDRESS PROTO CALLS

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, proto, calls] = process.argv.slice(2);
const { crudjt } = grpc.loadPackageDefinition(loadSync(proto));
const client = new crudjt.v1.Store(address, grpc.credentials.createInsecure());

const status = () =>
  new Promise((resolve) => {
    client.Peek({ token: "A".repeat(22) }, (error) => resolve(error ? `${error.code} ${error.details}` : "OK"));
  });

const counts = {};
for (const each of await Promise.all(Array.from({ length: Number(calls) }, status))) {
  counts[each] = (counts[each] ?? 0) + 1;
}
console.log(JSON.stringify(counts));
client.close();
