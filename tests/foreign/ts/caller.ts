// A caller of nats.js and protobuf, which knows nothing of streams and of the headers of a call.
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { BytesValueSchema, UInt32ValueSchema } from "@bufbuild/protobuf/wkt";
import { connect, createInbox, headers, type Msg } from "@nats-io/transport-node";

const nc = await connect({ servers: process.env.NATS_URL });
const bytes = (value: Uint8Array) => toBinary(BytesValueSchema, create(BytesValueSchema, { value }));
const number = (value: number) => toBinary(UInt32ValueSchema, create(UInt32ValueSchema, { value }));
const none = new Uint8Array();
const text = (value: string) => new TextEncoder().encode(value);

async function call(method: string, payload = none, pairs: [string, string][] = [], timeout = 10_000): Promise<[string, Msg]> {
  const all = headers();
  for (const [name, value] of pairs) all.set(name, value);
  const options = pairs.length > 0 ? { timeout, headers: all } : { timeout };
  const reply = await nc.request(`behavior.v1.Behavior.${method}`, payload, options);
  return [reply.headers?.get("Nats-Service-Error-Code") ?? "", reply];
}
const same = (found: Uint8Array, expected: Uint8Array) => assert.deepEqual(Buffer.from(found), Buffer.from(expected));

const blob = bytes(text("hi"));
let [code, reply] = await call("Echo", blob);
assert.deepEqual([code, reply.headers], ["", undefined]);
same(reply.data, blob);
for (const method of ["Echo", "Nothing"]) {
  [code, reply] = await call(method);
  assert.deepEqual([code, reply.headers, reply.data.length], ["", undefined, 0]);
}

// FailRequest { code: 5, text: "no account 7" }
[code, reply] = await call("Fail", text("\x08\x05\x12\x0cno account 7"));
assert.deepEqual([code, reply.headers?.get("Nats-Service-Error")], ["404", "no account 7"]);
[code] = await call("Echo", new Uint8Array([7]));
assert.equal(code, "400");

// Slow: by the server's own limit, by ours in small letters, and given up here.
[code] = await call("WaitWithTimeout", number(60_000));
assert.equal(code, "504");
[code] = await call("Wait", number(60_000), [["micro-timeout", "100"]]);
assert.equal(code, "504");
await assert.rejects(call("Wait", number(300), [], 50), /timeout/i);

// Large: what fits arrives whole, a reply that does not fit is an error, a request is refused here.
const max = nc.info!.max_payload;
const large = bytes(new Uint8Array(max - 100));
[code, reply] = await call("Echo", large);
assert.equal(code, "");
same(reply.data, large);
[code] = await call("Fill", number(2 * max));
assert.equal(code, "413");
await assert.rejects(call("Echo", new Uint8Array(max + 1)), /max_payload|payload/i);

// Headers as other languages write them.
[code, reply] = await call("Echo", text('{"data":"aGk="}'), [["content-type", "application/json"]]);
assert.deepEqual([code, reply.string()], ["", '{"data":"aGk="}']);
[code, reply] = await call("Describe", none, [["Tenant", "acme"]]);
assert.equal(code, "");
assert.match(reply.string(), /tenant=acme/);

// A stream without frames: CountRequest { messages: 3 }, three items and an end.
const inbox = createInbox();
const replies = nc.subscribe(inbox);
nc.publish("streams.v1.Streams.Count", text("\x08\x03"), { reply: inbox });
let items = 0;
let status = "";
for await (const message of replies) {
  status = message.headers?.get("Micro-Status") ?? "";
  if (status !== "") break;
  items += 1;
}
assert.deepEqual([items, status], [3, "0"]);
await nc.close();
console.log("ok");
