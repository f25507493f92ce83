// A service of nats.js and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.
import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { BytesValueSchema, EmptySchema, Int32ValueSchema, UInt32ValueSchema, UInt64ValueSchema } from "@bufbuild/protobuf/wkt";
import { connect, headers, type MsgHdrs } from "@nats-io/transport-node";

type Reply = Uint8Array | [string, string][];
let runs = 0;
const nc = await connect({ servers: process.env.NATS_URL });

function withHeaders(pairs: [string, string][]): { headers: MsgHdrs } {
  const all = headers();
  for (const [name, value] of pairs) all.set(name, value);
  return { headers: all };
}

async function serve<D extends DescMessage>(subject: string, kind: D, handler: (request: MessageShape<D>) => Promise<Reply>) {
  for await (const message of nc.subscribe(subject, { queue: "q" })) {
    try {
      const request = fromBinary(kind, message.data);
      runs += 1;
      const reply = await handler(request);
      if (reply instanceof Uint8Array) message.respond(reply);
      else message.respond(undefined, withHeaders(reply));
    } catch (error) {
      message.respond(undefined, withHeaders([["nats-service-error-code", "400"], ["nats-service-error", `${error}`]]));
    }
  }
}

const empty = new Uint8Array();
serve("behavior.v1.Behavior.Echo", BytesValueSchema, async (m) => toBinary(BytesValueSchema, m));
serve("behavior.v1.Behavior.Fill", UInt32ValueSchema, async (m) =>
  toBinary(BytesValueSchema, create(BytesValueSchema, { value: new Uint8Array(m.value) })));
serve("behavior.v1.Behavior.Fail", Int32ValueSchema, async () =>
  [["nats-service-error-code", "404"], ["nats-service-error", "no account 7"]]);
serve("behavior.v1.Behavior.Panic", BytesValueSchema, async () => [["micro-status", "5"]]);
serve("behavior.v1.Behavior.Wait", UInt32ValueSchema, async (m) => {
  await new Promise((resolve) => setTimeout(resolve, m.value));
  return empty;
});
serve("behavior.v1.Behavior.Nothing", EmptySchema, async () => empty);
serve("streams.v1.Streams.*", UInt64ValueSchema, async (m) => toBinary(UInt64ValueSchema, m));
nc.subscribe("runs", { callback: (_, message) => { message.respond(`${runs}`); } });
await nc.flush();
console.log("ready");
