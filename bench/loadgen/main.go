// loadgen drives any endpoint that speaks the etcd v3 API, with a real clientv3 or a client of its own that costs less, and prints one line of JSON for each run.
//
//	put     one key of -keys
//	get     one key of -keys
//	list    the whole prefix, -limit keys
//	create  a new key, by the transaction the kube-apiserver creates objects with
//	update  get and then the transaction the kube-apiserver updates objects with, until it succeeds
//	mix     70 % get, 20 % update, 5 % list, 5 % create
//	watch   puts while -watchers watch the prefix; latency is from the start of the put to the event
//	fill    only -fill: every key once
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const dialTimeout = 5 * time.Second

// Garbage is collected when the heap has grown by so much. By Go's own measure, 100, the 3 MB that live here are collected a hundred times
// a second, and a get costs the client 39 to 49 us of the cores that it shares with the server; with 800 it is 30 to 37. A kube-apiserver
// has hundreds of MB that live, and collects seldom.
const gcPercentDefault = 800

type options struct {
	endpoints   string
	client      string
	operation   string
	connections int
	clients     int
	duration    time.Duration
	lead        time.Duration
	keys        int
	valueBytes  int
	limit       int64
	watchers    int
	distinct    bool
	prefix      string
	label       string
	fill        bool
	fillBatch   int
	keep        int64
	rate        int
	drain       time.Duration
	gcPercent   int
}

func parse() options {
	var o options
	flag.StringVar(&o.endpoints, "endpoints", "127.0.0.1:2379", "client endpoints, comma separated; connections go round them")
	flag.StringVar(&o.client, "client", "clientv3", "clientv3, or lean: a client that costs less, for all but fill")
	flag.StringVar(&o.operation, "op", "put", "put, get, list, create, update, mix, watch or fill")
	flag.IntVar(&o.connections, "conns", 8, "connections")
	flag.IntVar(&o.clients, "clients", 64, "clients that have one request each under way")
	flag.DurationVar(&o.duration, "d", 5*time.Second, "length of the run")
	flag.DurationVar(&o.lead, "lead", 0, "for clientv3, not for watch: what begins in this time before the run is not counted")
	flag.IntVar(&o.keys, "keys", 10000, "size of the key space")
	flag.IntVar(&o.valueBytes, "val", 256, "bytes of a value")
	flag.Int64Var(&o.limit, "limit", 500, "keys of a list")
	flag.IntVar(&o.watchers, "watchers", 100, "watchers, each a watch of its own on the whole prefix")
	flag.BoolVar(&o.distinct, "distinct", false, "for watch: each watcher watches one key of its own, not the prefix; there are as many keys as watchers")
	flag.StringVar(&o.prefix, "prefix", "/registry/lg/", "begin of every key")
	flag.StringVar(&o.label, "label", "", "copied to the output")
	flag.BoolVar(&o.fill, "fill", false, "put every key before the run")
	flag.IntVar(&o.fillBatch, "fill-batch", 1, "keys of one transaction while filling; 1: plain puts")
	flag.Int64Var(&o.keep, "keep", 0, "for create and mix of clientv3: so many created keys stay, for each further one the oldest is deleted; 0: all stay")
	flag.IntVar(&o.rate, "rate", 0, "for watch: puts per second of all clients together; 0: as fast as possible")
	flag.DurationVar(&o.drain, "drain", 10*time.Second, "for watch: how long to wait for the last events")
	flag.IntVar(&o.gcPercent, "gogc", gcPercentDefault, "percent by which the load generator's heap grows before it collects garbage, as GOGC")
	flag.Parse()
	if o.distinct {
		o.keys = o.watchers
	}
	return o
}

func main() {
	o := parse()
	debug.SetGCPercent(o.gcPercent)
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.client != "clientv3" && o.client != "lean" {
		return fmt.Errorf("unknown client %q", o.client)
	}
	clients, err := connect(o)
	if err != nil {
		return err
	}
	l := &load{options: o, clients: clients, value: strings.Repeat("v", o.valueBytes), started: time.Now().UnixNano()}
	if o.fill || o.operation == "fill" {
		began := time.Now()
		if err := l.fill(ctx); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		if o.operation == "fill" {
			rate := round(float64(o.keys) / time.Since(began).Seconds())
			return print(report{Label: o.label, Operation: o.operation, Requests: o.keys, Rate: rate})
		}
	}
	// A server that is gone keeps nobody waiting: what is under way then counts as an error. Not by a deadline, which each request would tell the server.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(o.lead+o.duration+o.drain+time.Minute, cancel).Stop()
	if o.operation == "watch" {
		r, err := l.watch(ctx)
		if err != nil {
			return err
		}
		return print(r)
	}
	if _, known := operations[o.operation]; !known && o.operation != "mix" {
		return fmt.Errorf("unknown operation %q", o.operation)
	}
	if o.client == "lean" {
		r, err := l.lean()
		if err != nil {
			return err
		}
		return print(r)
	}
	return print(l.request(ctx))
}

func connect(o options) ([]*clientv3.Client, error) {
	endpoints := strings.Split(o.endpoints, ",")
	clients := make([]*clientv3.Client, 0, o.connections)
	for i := range o.connections {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{endpoints[i%len(endpoints)]},
			DialTimeout: dialTimeout,
			Logger:      zap.NewNop(),
		})
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

func print(result any) error {
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}
