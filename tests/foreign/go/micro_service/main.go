// A service of nats.go's micro and protobuf, which knows nothing of streams; `runs` is how often its handlers ran.
package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
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

// serve decodes and runs. An error of Respond is ignored, as careless programs do.
func serve[M proto.Message](service micro.Service, name, subject string, request func() M, handler func(micro.Request, M)) {
	on_request := micro.HandlerFunc(func(message micro.Request) {
		decoded := request()
		if err := proto.Unmarshal(message.Data(), decoded); err != nil {
			message.Error("400", err.Error(), nil)
			return
		}
		runs.Add(1)
		handler(message, decoded)
	})
	check(service.AddEndpoint(name, on_request, micro.WithEndpointSubject(subject)))
}

func respond(request micro.Request, message proto.Message) {
	bytes, err := proto.Marshal(message)
	check(err)
	request.Respond(bytes)
}

func main() {
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	check(err)
	service, err := micro.AddService(nc, micro.Config{
		Name: "plain-behavior", Version: "1.0.0", Metadata: map[string]string{"team": "", "zone": "eu"},
	})
	check(err)
	blob := func() *wrapperspb.BytesValue { return &wrapperspb.BytesValue{} }
	number := func() *wrapperspb.UInt32Value { return &wrapperspb.UInt32Value{} }
	long := func() *wrapperspb.UInt64Value { return &wrapperspb.UInt64Value{} }
	serve(service, "Echo", "behavior.v1.Behavior.Echo", blob,
		func(r micro.Request, m *wrapperspb.BytesValue) { respond(r, m) })
	serve(service, "Fill", "behavior.v1.Behavior.Fill", number, func(r micro.Request, m *wrapperspb.UInt32Value) {
		respond(r, wrapperspb.Bytes(make([]byte, m.Value)))
	})
	serve(service, "Fail", "behavior.v1.Behavior.Fail", func() *wrapperspb.Int32Value { return &wrapperspb.Int32Value{} },
		func(r micro.Request, _ *wrapperspb.Int32Value) { r.Error("404", "no account 7", nil) })
	serve(service, "Panic", "behavior.v1.Behavior.Panic", blob, func(r micro.Request, _ *wrapperspb.BytesValue) {
		r.Respond(nil, micro.WithHeaders(micro.Headers{"micro-status": {"5"}}))
	})
	serve(service, "Wait", "behavior.v1.Behavior.Wait", number, func(r micro.Request, m *wrapperspb.UInt32Value) {
		time.Sleep(time.Duration(m.Value) * time.Millisecond)
		r.Respond(nil)
	})
	serve(service, "Nothing", "behavior.v1.Behavior.Nothing", func() *emptypb.Empty { return &emptypb.Empty{} },
		func(r micro.Request, m *emptypb.Empty) { respond(r, m) })
	for _, method := range []string{"Count", "Collect", "Echo"} {
		serve(service, "Streams"+method, "streams.v1.Streams."+method, long,
			func(r micro.Request, m *wrapperspb.UInt64Value) { respond(r, m) })
	}
	_, err = nc.Subscribe("runs", func(message *nats.Msg) { message.Respond(fmt.Append(nil, runs.Load())) })
	check(err)
	check(nc.Flush())
	fmt.Println("ready")
	select {}
}
