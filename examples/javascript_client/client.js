// A client of a master, in JavaScript: node client.js [HOST:PORT] [PROTO]
//
// PROTO is src/crudjt/_rpc/proto/token.proto of this repository, where it is not at its place beside this directory.

import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { decode, encode } from "@msgpack/msgpack";

const address = process.argv[2] ?? "127.0.0.1:50051";
const proto = process.argv[3] ?? fileURLToPath(new URL("../../src/crudjt/_rpc/proto/token.proto", import.meta.url));
const NO_LIMIT = -1;

const { token: { TokenService } } = grpc.loadPackageDefinition(loadSync(proto, { keepCase: true, longs: Number }));
const service = new TokenService(address, grpc.credentials.createInsecure());

function method(name) {
  const send = promisify(service[name]).bind(service);
  return (request) => send(request);
}

const createToken = method("CreateToken");
const readToken = method("ReadToken");
const updateToken = method("UpdateToken");
const deleteToken = method("DeleteToken");

async function create(data, ttl = NO_LIMIT, silenceRead = NO_LIMIT) {
  return (await createToken({ packed_data: encode(data), ttl, silence_read: silenceRead })).token;
}

async function read(token) {
  return decode((await readToken({ token })).packed_data);
}

async function update(token, data, ttl = NO_LIMIT, silenceRead = NO_LIMIT) {
  return (await updateToken({ token, packed_data: encode(data), ttl, silence_read: silenceRead })).result;
}

async function remove(token) {
  return (await deleteToken({ token })).result;
}

const token = await create({ user_id: 42, role: 11 }, 3600, 3);
console.log("read:", JSON.stringify(await read(token)));
console.log("update:", await update(token, { user_id: 42, role: 8 }));
console.log("read:", JSON.stringify(await read(token)));
console.log("delete:", await remove(token));
console.log("read:", JSON.stringify(await read(token)));
service.close();
