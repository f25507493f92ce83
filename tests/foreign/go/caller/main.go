// A caller of nats.go and protobuf, which knows nothing of streams and of the headers of a call.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func expect(holds bool, what string, reply *nats.Msg) {
	if !holds {
		panic(fmt.Sprintf("%s: %+v", what, reply))
	}
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	expect(err == nil, "no connection", nil)
	send := func(method string, payload []byte, header nats.Header, timeout time.Duration) (*nats.Msg, error) {
		request := &nats.Msg{Subject: "behavior.v1.Behavior." + method, Data: payload, Header: header}
		return nc.RequestMsg(request, timeout)
	}
	call := func(method string, payload []byte, header nats.Header) (string, *nats.Msg) {
		reply, err := send(method, payload, header, 10*time.Second)
		expect(err == nil, method+" without a reply", reply)
		return reply.Header.Get("Nats-Service-Error-Code"), reply
	}
	encode := func(message proto.Message) []byte {
		encoded, err := proto.Marshal(message)
		expect(err == nil, "not encoded", nil)
		return encoded
	}

	blob := encode(wrapperspb.Bytes([]byte("hi")))
	code, reply := call("Echo", blob, nil)
	expect(code == "" && bytes.Equal(reply.Data, blob) && len(reply.Header) == 0, "Echo", reply)
	code, reply = call("Echo", nil, nil)
	expect(code == "" && len(reply.Data) == 0 && len(reply.Header) == 0, "empty Echo", reply)
	code, reply = call("Nothing", nil, nil)
	expect(code == "" && len(reply.Data) == 0 && len(reply.Header) == 0, "Nothing", reply)

	// FailRequest { code: 5, text: "no account 7" }
	code, reply = call("Fail", []byte("\x08\x05\x12\x0cno account 7"), nil)
	expect(code == "404" && reply.Header.Get("Nats-Service-Error") == "no account 7", "Fail", reply)
	code, reply = call("Echo", []byte{7}, nil)
	expect(code == "400", "undecodable Echo", reply)

	// Slow: by the server's own limit, by ours in small letters, and given up here.
	minute := encode(wrapperspb.UInt32(60_000))
	code, reply = call("WaitWithTimeout", minute, nil)
	expect(code == "504", "WaitWithTimeout", reply)
	code, reply = call("Wait", minute, nats.Header{"micro-timeout": {"100"}})
	expect(code == "504", "Wait", reply)
	reply, err = send("Wait", encode(wrapperspb.UInt32(300)), nil, 50*time.Millisecond)
	expect(errors.Is(err, nats.ErrTimeout), "Wait replied at once", reply)

	// Large: what fits arrives whole, a reply that does not fit is an error, a request is refused here.
	max := int(nc.MaxPayload())
	large := encode(wrapperspb.Bytes(make([]byte, max-100)))
	code, reply = call("Echo", large, nil)
	expect(code == "" && bytes.Equal(reply.Data, large), "large Echo", reply)
	code, reply = call("Fill", encode(wrapperspb.UInt32(uint32(2*max))), nil)
	expect(code == "413", "Fill", reply)
	reply, err = send("Echo", make([]byte, max+1), nil, time.Second)
	expect(errors.Is(err, nats.ErrMaxPayload), "a request of more than max_payload was sent", reply)

	// Headers as other languages write them.
	code, reply = call("Echo", []byte(`{"data":"aGk="}`), nats.Header{"content-type": {"application/json"}})
	expect(code == "" && string(reply.Data) == `{"data":"aGk="}`, "Echo in JSON", reply)
	code, reply = call("Describe", nil, nats.Header{"Tenant": {"acme"}})
	expect(code == "" && bytes.Contains(reply.Data, []byte("tenant=acme")), "Describe", reply)

	// A stream without frames: CountRequest { messages: 3 }, three items and an end.
	inbox := nc.NewInbox()
	replies, err := nc.SubscribeSync(inbox)
	expect(err == nil, "not subscribed", nil)
	expect(nc.PublishRequest("streams.v1.Streams.Count", inbox, []byte("\x08\x03")) == nil, "not sent", nil)
	items := 0
	for {
		reply, err = replies.NextMsg(10 * time.Second)
		expect(err == nil, "the stream has no end", reply)
		if reply.Header.Get("Micro-Status") != "" {
			break
		}
		items++
	}
	expect(items == 3 && reply.Header.Get("Micro-Status") == "0", "Count", reply)
	fmt.Println("ok")
}
