// A caller of nats.js that knows offers: it takes a reply that does not fit into one message in parts.
import assert from "node:assert/strict";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { BytesValueSchema, UInt32ValueSchema } from "@bufbuild/protobuf/wkt";
import { connect, createInbox } from "@nats-io/transport-node";

const service = "behavior.v1.Behavior";
const nc = await connect({ servers: process.env.NATS_URL });

// The bytes of each field with a length, joined by number, and the last number of each other field.
function fields(message: Uint8Array): { texts: Map<number, Buffer>; numbers: Map<number, number> } {
  const texts = new Map<number, Buffer>();
  const numbers = new Map<number, number>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, kind] = reader.tag();
    if (kind === WireType.LengthDelimited) {
      texts.set(number, Buffer.concat([texts.get(number) ?? Buffer.alloc(0), reader.bytes()]));
    } else {
      numbers.set(number, Number(reader.uint64()));
    }
  }
  return { texts, numbers };
}

// The micro.v1.Frame of a frame of the service, which begins with the byte 0f.
function frame(data: Uint8Array): Uint8Array {
  assert.equal(data[0], 0x0f);
  return data.subarray(1);
}

const request = toBinary(UInt32ValueSchema, create(UInt32ValueSchema, { value: 100_000 }));
const offer = await nc.request(`${service}.Fill`, request, { timeout: 10_000 });
assert.ok(offer.headers?.get("Micro-Stream").startsWith("v=2;u=1;"));
const accept = fields(frame(offer.data)).texts;

// nc.request takes one reply alone, so the parts go to a subscription of their own. The grant: 1 message, 16 MiB.
const inbox = createInbox();
const parts = nc.subscribe(inbox, { timeout: 10_000 });
const grant = new Uint8Array([7, 0x28, 1, 0x30, 0x80, 0x80, 0x80, 8]);
nc.publish(`${service}._i.${accept.get(8)}._up.${accept.get(9)}`, grant, { reply: inbox });
const message: Buffer[] = [];
for await (const part of parts) {
  const { texts, numbers } = fields(frame(part.data));
  assert.equal(texts.get(7), undefined);
  message.push(texts.get(2) ?? Buffer.alloc(0));
  if ((numbers.get(3) ?? 0) & 2) break;
}
const blob = fromBinary(BytesValueSchema, Buffer.concat(message));
assert.equal(Buffer.from(blob.value).toString(), "x".repeat(100_000));
await nc.close();
console.log("ok");
