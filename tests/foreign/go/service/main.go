// A service of nats.go and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var runs atomic.Int64

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// serve decodes, runs and replies. An error of Respond is ignored, as careless programs do.
func serve[M proto.Message](nc *nats.Conn, subject string, request func() M, handler func(M) *nats.Msg) {
	_, err := nc.QueueSubscribe(subject, "q", func(message *nats.Msg) {
		decoded := request()
		if err := proto.Unmarshal(message.Data, decoded); err != nil {
			text := strings.ToValidUTF8(err.Error(), "")
			message.RespondMsg(&nats.Msg{Header: nats.Header{"nats-service-error-code": {"400"}, "nats-service-error": {text}}})
			return
		}
		runs.Add(1)
		message.RespondMsg(handler(decoded))
	})
	check(err)
}

func data(message proto.Message) *nats.Msg {
	bytes, err := proto.Marshal(message)
	check(err)
	return &nats.Msg{Data: bytes}
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	check(err)
	blob := func() *wrapperspb.BytesValue { return &wrapperspb.BytesValue{} }
	number := func() *wrapperspb.UInt32Value { return &wrapperspb.UInt32Value{} }
	serve(nc, "behavior.v1.Behavior.Echo", blob, func(m *wrapperspb.BytesValue) *nats.Msg { return data(m) })
	serve(nc, "behavior.v1.Behavior.Fill", number, func(m *wrapperspb.UInt32Value) *nats.Msg {
		return data(wrapperspb.Bytes(make([]byte, m.Value)))
	})
	serve(nc, "behavior.v1.Behavior.Fail", func() *wrapperspb.Int32Value { return &wrapperspb.Int32Value{} },
		func(*wrapperspb.Int32Value) *nats.Msg {
			return &nats.Msg{Header: nats.Header{"nats-service-error-code": {"404"}, "nats-service-error": {"no account 7"}}}
		})
	serve(nc, "behavior.v1.Behavior.Panic", blob, func(*wrapperspb.BytesValue) *nats.Msg {
		return &nats.Msg{Header: nats.Header{"micro-status": {"5"}}}
	})
	serve(nc, "behavior.v1.Behavior.Wait", number, func(m *wrapperspb.UInt32Value) *nats.Msg {
		time.Sleep(time.Duration(m.Value) * time.Millisecond)
		return &nats.Msg{}
	})
	serve(nc, "behavior.v1.Behavior.Nothing", func() *emptypb.Empty { return &emptypb.Empty{} },
		func(*emptypb.Empty) *nats.Msg { return &nats.Msg{} })
	serve(nc, "streams.v1.Streams.*", func() *wrapperspb.UInt64Value { return &wrapperspb.UInt64Value{} },
		func(m *wrapperspb.UInt64Value) *nats.Msg { return data(m) })
	_, err = nc.Subscribe("runs", func(message *nats.Msg) { message.Respond(fmt.Append(nil, runs.Load())) })
	check(err)
	check(nc.Flush())
	fmt.Println("ready")
	select {}
}
