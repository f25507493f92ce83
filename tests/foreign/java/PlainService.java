// A service of jnats and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.
import com.google.protobuf.*;
import io.nats.client.Connection;
import io.nats.client.Dispatcher;
import io.nats.client.Nats;
import io.nats.client.impl.Headers;
import java.util.concurrent.atomic.AtomicLong;

public class PlainService {
    interface Handler<M> {
        Object reply(M request) throws Exception;
    }

    static final AtomicLong runs = new AtomicLong();

    static Headers failure(String... pairs) {
        Headers headers = new Headers();
        for (int i = 0; i < pairs.length; i += 2) headers.put(pairs[i], pairs[i + 1]);
        return headers;
    }

    static <M> void serve(Connection nc, String subject, Parser<M> kind, Handler<M> handler) {
        Dispatcher dispatcher = nc.createDispatcher(message -> {
            M request;
            try {
                request = kind.parseFrom(message.getData());
            } catch (InvalidProtocolBufferException error) {
                nc.publish(message.getReplyTo(), failure(
                    "nats-service-error-code", "400", "nats-service-error", error.getMessage()), null);
                return;
            }
            runs.incrementAndGet();
            try {
                Object reply = handler.reply(request);
                if (reply instanceof Headers headers) nc.publish(message.getReplyTo(), headers, null);
                else nc.publish(message.getReplyTo(), ((MessageLite) reply).toByteArray());
            } catch (Exception error) {
                error.printStackTrace();
            }
        });
        dispatcher.subscribe(subject, "q");
    }

    public static void main(String[] args) throws Exception {
        Connection nc = Nats.connect(System.getenv("NATS_URL"));
        serve(nc, "behavior.v1.Behavior.Echo", BytesValue.parser(), m -> m);
        serve(nc, "behavior.v1.Behavior.Fill", UInt32Value.parser(),
            m -> BytesValue.of(ByteString.copyFrom(new byte[m.getValue()])));
        serve(nc, "behavior.v1.Behavior.Fail", Int32Value.parser(),
            m -> failure("nats-service-error-code", "404", "nats-service-error", "no account 7"));
        serve(nc, "behavior.v1.Behavior.Panic", BytesValue.parser(), m -> failure("micro-status", "5"));
        serve(nc, "behavior.v1.Behavior.Wait", UInt32Value.parser(), m -> {
            Thread.sleep(m.getValue());
            return Empty.getDefaultInstance();
        });
        serve(nc, "behavior.v1.Behavior.Nothing", Empty.parser(), m -> m);
        serve(nc, "streams.v1.Streams.*", UInt64Value.parser(), m -> m);
        nc.createDispatcher(m -> nc.publish(m.getReplyTo(), runs.toString().getBytes())).subscribe("runs");
        nc.flush(null);
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
