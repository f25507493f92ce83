// A caller of nats.go that knows offers: it takes a reply that does not fit into one message in parts.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "behavior.v1.Behavior"

func expect(holds bool, what string, found any) {
	if !holds {
		panic(fmt.Sprintf("%s: %v", what, found))
	}
}

// fields returns the bytes of each field with a length, joined by number, and the last number of each other field.
func fields(message []byte) (map[protowire.Number][]byte, map[protowire.Number]uint64) {
	texts, numbers := map[protowire.Number][]byte{}, map[protowire.Number]uint64{}
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		expect(length > 0, "a frame", message)
		message = message[length:]
		if kind == protowire.BytesType {
			value, length := protowire.ConsumeBytes(message)
			texts[number] = append(texts[number], value...)
			message = message[length:]
		} else {
			value, length := protowire.ConsumeVarint(message)
			numbers[number] = value
			message = message[length:]
		}
	}
	return texts, numbers
}

// frame returns the micro.v1.Frame of a frame of the service, which begins with the byte 0f.
func frame(message *nats.Msg) []byte {
	expect(bytes.HasPrefix(message.Data, []byte{0x0f}), "a frame", message.Data)
	return message.Data[1:]
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	expect(err == nil, "a connection", err)
	request, err := proto.Marshal(wrapperspb.UInt32(100_000))
	expect(err == nil, "a request", err)
	offer, err := nc.Request(service+".Fill", request, 10*time.Second)
	expect(err == nil && strings.HasPrefix(offer.Header.Get("Micro-Stream"), "v=2;u=1;"), "an offer", offer)
	accept, _ := fields(frame(offer))

	// nc.Request takes one reply alone, so the parts go to a subscription of their own. The grant: 1 message, 16 MiB.
	inbox := nc.NewInbox()
	parts, err := nc.SubscribeSync(inbox)
	expect(err == nil, "a subscription", err)
	up := fmt.Sprintf("%s._i.%s._up.%s", service, accept[8], accept[9])
	expect(nc.PublishRequest(up, inbox, []byte("\x07\x28\x01\x30\x80\x80\x80\x08")) == nil, "a grant", up)
	message, flags := []byte{}, uint64(0)
	for flags&2 == 0 {
		part, err := parts.NextMsg(10 * time.Second)
		expect(err == nil, "a part", err)
		texts, numbers := fields(frame(part))
		expect(texts[7] == nil, "no status", texts[7])
		message, flags = append(message, texts[2]...), numbers[3]
	}
	blob := &wrapperspb.BytesValue{}
	expect(proto.Unmarshal(message, blob) == nil, "a reply", len(message))
	expect(bytes.Equal(blob.Value, bytes.Repeat([]byte("x"), 100_000)), "the reply", len(blob.Value))
	fmt.Println("ok")
}
