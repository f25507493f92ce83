// A caller of jnats and protobuf, which knows nothing of streams and of the headers of a call.
import com.google.protobuf.ByteString;
import com.google.protobuf.BytesValue;
import com.google.protobuf.UInt32Value;
import io.nats.client.Connection;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.Subscription;
import io.nats.client.impl.Headers;
import java.time.Duration;
import java.util.Arrays;

public class PlainCaller {
    static Connection nc;

    static void expect(boolean holds, String what, Message reply) {
        if (!holds) throw new AssertionError(what + ": " + reply + (reply == null ? "" : " " + reply.getHeaders()));
    }

    static Message send(String method, byte[] payload, Headers headers, long millis) throws Exception {
        return nc.request("behavior.v1.Behavior." + method, headers, payload, Duration.ofMillis(millis));
    }

    static Message call(String method, byte[] payload, String... pairs) throws Exception {
        Headers headers = pairs.length == 0 ? null : new Headers().put(pairs[0], pairs[1]);
        Message reply = send(method, payload, headers, 10_000);
        expect(reply != null, method + " without a reply", reply);
        return reply;
    }

    static String header(Message reply, String name) {
        return reply.getHeaders() == null ? null : reply.getHeaders().getFirst(name);
    }

    static String code(Message reply) {
        return header(reply, "Nats-Service-Error-Code");
    }

    public static void main(String[] args) throws Exception {
        nc = Nats.connect(System.getenv("NATS_URL"));
        byte[] none = new byte[0];
        byte[] blob = BytesValue.of(ByteString.copyFromUtf8("hi")).toByteArray();
        Message reply = call("Echo", blob);
        expect(reply.getHeaders() == null && Arrays.equals(reply.getData(), blob), "Echo", reply);
        for (String method : new String[] {"Echo", "Nothing"}) {
            reply = call(method, none);
            expect(reply.getHeaders() == null && reply.getData().length == 0, "empty " + method, reply);
        }

        // FailRequest { code: 5, text: "no account 7" }
        reply = call("Fail", "\b\5\22\14no account 7".getBytes());
        expect("404".equals(code(reply)) && "no account 7".equals(header(reply, "Nats-Service-Error")), "Fail", reply);
        reply = call("Echo", new byte[] {7});
        expect("400".equals(code(reply)), "undecodable Echo", reply);

        // Slow: by the server's own limit, by ours in small letters, and given up here.
        byte[] minute = UInt32Value.of(60_000).toByteArray();
        reply = call("WaitWithTimeout", minute);
        expect("504".equals(code(reply)), "WaitWithTimeout", reply);
        reply = call("Wait", minute, "micro-timeout", "100");
        expect("504".equals(code(reply)), "Wait", reply);
        reply = send("Wait", UInt32Value.of(300).toByteArray(), null, 50);
        expect(reply == null, "Wait replied at once", reply);

        // Large: what fits arrives whole, a reply that does not fit is an error, a request is refused here.
        int max = (int) nc.getMaxPayload();
        byte[] large = BytesValue.of(ByteString.copyFrom(new byte[max - 100])).toByteArray();
        reply = call("Echo", large);
        expect(code(reply) == null && Arrays.equals(reply.getData(), large), "large Echo", reply);
        reply = call("Fill", UInt32Value.of(2 * max).toByteArray());
        expect("413".equals(code(reply)), "Fill", reply);
        try {
            reply = send("Echo", new byte[max + 1], null, 1_000);
            expect(false, "a request of more than max_payload was sent", reply);
        } catch (IllegalArgumentException refused) {
            // As it should.
        }

        // Headers as other languages write them.
        reply = call("Echo", "{\"data\":\"aGk=\"}".getBytes(), "content-type", "application/json");
        expect(code(reply) == null && new String(reply.getData()).equals("{\"data\":\"aGk=\"}"), "JSON", reply);
        reply = call("Describe", none, "Tenant", "acme");
        expect(code(reply) == null && new String(reply.getData()).contains("tenant=acme"), "Describe", reply);

        // A stream without frames: CountRequest { messages: 3 }, three items and an end.
        String inbox = nc.createInbox();
        Subscription replies = nc.subscribe(inbox);
        nc.publish("streams.v1.Streams.Count", inbox, new byte[] {8, 3});
        int items = -1;
        do {
            items++;
            reply = replies.nextMessage(10_000);
            expect(reply != null, "the stream has no end", reply);
        } while (header(reply, "Micro-Status") == null);
        expect(items == 3 && "0".equals(header(reply, "Micro-Status")), "Count", reply);
        System.out.println("ok");
        System.exit(0);
    }
}
