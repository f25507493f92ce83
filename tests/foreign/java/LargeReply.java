// A caller of jnats that knows offers: it takes a reply that does not fit into one message in parts.
import com.google.protobuf.BytesValue;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.UInt32Value;
import com.google.protobuf.WireFormat;
import io.nats.client.Connection;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.Subscription;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

public class LargeReply {
    static final String SERVICE = "behavior.v1.Behavior";

    static void expect(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    /** The bytes of each field with a length, joined by number; of each other field its number, as text. */
    static Map<Integer, ByteArrayOutputStream> fields(byte[] message) throws Exception {
        Map<Integer, ByteArrayOutputStream> fields = new HashMap<>();
        CodedInputStream input = CodedInputStream.newInstance(message);
        for (int tag = input.readTag(); tag != 0; tag = input.readTag()) {
            boolean hasLength = WireFormat.getTagWireType(tag) == WireFormat.WIRETYPE_LENGTH_DELIMITED;
            byte[] value = hasLength ? input.readByteArray() : Long.toString(input.readUInt64()).getBytes();
            int number = WireFormat.getTagFieldNumber(tag);
            fields.computeIfAbsent(number, unused -> new ByteArrayOutputStream()).write(value);
        }
        return fields;
    }

    /** The micro.v1.Frame of a frame of the service, which begins with the byte 0f. */
    static byte[] frame(Message message) {
        byte[] data = message.getData();
        expect(data[0] == 0x0f, "a frame");
        return Arrays.copyOfRange(data, 1, data.length);
    }

    public static void main(String[] args) throws Exception {
        Connection nc = Nats.connect(System.getenv("NATS_URL"));
        byte[] request = UInt32Value.of(100_000).toByteArray();
        Message offer = nc.request(SERVICE + ".Fill", request, Duration.ofSeconds(10));
        expect(offer.getHeaders().getFirst("Micro-Stream").startsWith("v=2;u=1;"), "an offer");
        Map<Integer, ByteArrayOutputStream> accept = fields(frame(offer));

        // nc.request takes one reply alone, so the parts go to a subscription of their own. The grant: 1 message, 16 MiB.
        String inbox = nc.createInbox();
        Subscription parts = nc.subscribe(inbox);
        String up = SERVICE + "._i." + accept.get(8) + "._up." + accept.get(9);
        nc.publish(up, inbox, new byte[] {7, 0x28, 1, 0x30, (byte) 0x80, (byte) 0x80, (byte) 0x80, 8});
        ByteArrayOutputStream message = new ByteArrayOutputStream();
        int flags = 0;
        while ((flags & 2) == 0) {
            Message part = parts.nextMessage(10_000);
            expect(part != null, "a part");
            Map<Integer, ByteArrayOutputStream> found = fields(frame(part));
            expect(!found.containsKey(7), "no status");
            if (found.containsKey(2)) found.get(2).writeTo(message);
            flags = found.containsKey(3) ? Integer.parseInt(found.get(3).toString()) : 0;
        }
        BytesValue blob = BytesValue.parseFrom(message.toByteArray());
        expect(blob.getValue().toStringUtf8().equals("x".repeat(100_000)), "the reply");
        System.out.println("ok");
        System.exit(0);
    }
}
