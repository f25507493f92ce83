// A service of jnats's service package and protobuf, which knows nothing of streams; `runs` is how often its
// handlers ran.
import com.google.protobuf.*;
import io.nats.client.Connection;
import io.nats.client.Nats;
import io.nats.client.impl.Headers;
import io.nats.service.Service;
import io.nats.service.ServiceBuilder;
import io.nats.service.ServiceEndpoint;
import io.nats.service.ServiceMessage;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;

public class PlainMicroService {
    interface Handler<M> {
        void handle(ServiceMessage message, M request) throws Exception;
    }

    static final AtomicLong runs = new AtomicLong();

    static <M> ServiceEndpoint serve(Connection nc, String name, String subject, Parser<M> kind, Handler<M> handler) {
        return ServiceEndpoint.builder().endpointName(name).endpointSubject(subject).handler(message -> {
            try {
                M request = kind.parseFrom(message.getData());
                runs.incrementAndGet();
                handler.handle(message, request);
            } catch (InvalidProtocolBufferException error) {
                message.respondStandardError(nc, error.getMessage(), 400);
            } catch (Exception error) {
                error.printStackTrace();
            }
        }).build();
    }

    public static void main(String[] args) throws Exception {
        Connection nc = Nats.connect(System.getenv("NATS_URL"));
        Map<String, String> metadata = new HashMap<>(Map.of("team", "", "zone", "eu"));
        ServiceBuilder service = Service.builder().connection(nc)
            .name("plain-behavior").version("1.0.0").metadata(metadata)
            .addServiceEndpoint(serve(nc, "Echo", "behavior.v1.Behavior.Echo", BytesValue.parser(),
                (message, m) -> message.respond(nc, m.toByteArray())))
            .addServiceEndpoint(serve(nc, "Fill", "behavior.v1.Behavior.Fill", UInt32Value.parser(),
                (message, m) -> message.respond(nc,
                    BytesValue.of(ByteString.copyFrom(new byte[m.getValue()])).toByteArray())))
            .addServiceEndpoint(serve(nc, "Fail", "behavior.v1.Behavior.Fail", Int32Value.parser(),
                (message, m) -> message.respondStandardError(nc, "no account 7", 404)))
            .addServiceEndpoint(serve(nc, "Panic", "behavior.v1.Behavior.Panic", BytesValue.parser(),
                (message, m) -> message.respond(nc, new byte[0], new Headers().put("micro-status", "5"))))
            .addServiceEndpoint(serve(nc, "Wait", "behavior.v1.Behavior.Wait", UInt32Value.parser(), (message, m) -> {
                Thread.sleep(m.getValue());
                message.respond(nc, new byte[0]);
            }))
            .addServiceEndpoint(serve(nc, "Nothing", "behavior.v1.Behavior.Nothing", Empty.parser(),
                (message, m) -> message.respond(nc, m.toByteArray())));
        for (String method : new String[] {"Count", "Collect", "Echo"}) {
            service.addServiceEndpoint(serve(nc, "Streams" + method, "streams.v1.Streams." + method,
                UInt64Value.parser(), (message, m) -> message.respond(nc, m.toByteArray())));
        }
        service.build().startService();
        nc.createDispatcher(m -> nc.publish(m.getReplyTo(), runs.toString().getBytes())).subscribe("runs");
        nc.flush(null);
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
