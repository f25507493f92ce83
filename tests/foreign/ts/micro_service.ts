// A service of nats.js's services and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.
import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { BytesValueSchema, EmptySchema, Int32ValueSchema, UInt32ValueSchema, UInt64ValueSchema } from "@bufbuild/protobuf/wkt";
import { Svcm, type ServiceMsg } from "@nats-io/services";
import { connect, headers } from "@nats-io/transport-node";

let runs = 0;
const nc = await connect({ servers: process.env.NATS_URL });
const service = await new Svcm(nc).add({
  name: "plain-behavior", version: "1.0.0", metadata: { team: "", zone: "eu" },
});

async function serve<D extends DescMessage>(
  name: string, subject: string, kind: D, handler: (message: ServiceMsg, request: MessageShape<D>) => void | Promise<void>,
) {
  for await (const message of service.addEndpoint(name, { subject })) {
    try {
      const request = fromBinary(kind, message.data);
      runs += 1;
      await handler(message, request);
    } catch (error) {
      message.respondError(400, `${error}`);
    }
  }
}

serve("Echo", "behavior.v1.Behavior.Echo", BytesValueSchema, (message, m) => { message.respond(toBinary(BytesValueSchema, m)); });
serve("Fill", "behavior.v1.Behavior.Fill", UInt32ValueSchema, (message, m) => {
  message.respond(toBinary(BytesValueSchema, create(BytesValueSchema, { value: new Uint8Array(m.value) })));
});
serve("Fail", "behavior.v1.Behavior.Fail", Int32ValueSchema, (message) => { message.respondError(404, "no account 7"); });
serve("Panic", "behavior.v1.Behavior.Panic", BytesValueSchema, (message) => {
  const failure = headers();
  failure.set("micro-status", "5");
  message.respond(undefined, { headers: failure });
});
serve("Wait", "behavior.v1.Behavior.Wait", UInt32ValueSchema, async (message, m) => {
  await new Promise((resolve) => setTimeout(resolve, m.value));
  message.respond();
});
serve("Nothing", "behavior.v1.Behavior.Nothing", EmptySchema, (message) => { message.respond(); });
for (const method of ["Count", "Collect", "Echo"]) {
  serve(`Streams${method}`, `streams.v1.Streams.${method}`, UInt64ValueSchema, (message, m) => {
    message.respond(toBinary(UInt64ValueSchema, m));
  });
}
nc.subscribe("runs", { callback: (_, message) => { message.respond(`${runs}`); } });
await nc.flush();
console.log("ready");
