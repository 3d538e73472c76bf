package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"time"
)

// The lean client speaks gRPC by hand over one goroutine a connection. A request costs it a few microseconds where clientv3 takes twenty,
// so that on shared cores it is the server that is measured. It sends the same header fields and messages as clientv3, checks the status of
// every call and what it needs of the answer, and counts whatever it does not expect as an error.

// leanClient has one call under way, as a client of clientv3 has.
type leanClient struct {
	random    *rand.Rand
	operation string
	key       string
	// keyNumber of the key, where the answers are counted for each.
	keyNumber int
	// step of an operation that takes several calls.
	step   int
	began  time.Time
	answer []byte
	status string
}

// heldCall waits until the server takes more.
type heldCall struct {
	client  *leanClient
	path    string
	message []byte
}

// lean keeps every client busy until the run is over.
func (l *load) lean() (report, error) {
	var (
		all    latencies
		failed failures
		wait   sync.WaitGroup
	)
	connections := make([]*leanConnection, 0, l.connections)
	endpoints := strings.Split(l.endpoints, ",")
	for i := range l.connections {
		c, err := l.leanConnect(endpoints[i%len(endpoints)])
		if err != nil {
			return report{}, err
		}
		c.failed = &failed
		connections = append(connections, c)
	}
	began := time.Now()
	for i, c := range connections {
		clients := make([]*leanClient, 0)
		for j := i; j < l.options.clients; j += len(connections) {
			clients = append(clients, &leanClient{random: rand.New(rand.NewSource(int64(j) + l.started))})
		}
		wait.Go(func() {
			c.began = began
			if err := c.run(clients); err != nil {
				failed.add(err)
			}
			all.add(c.own...)
		})
	}
	wait.Wait()
	took := time.Since(began).Seconds()
	p50, p99, max := all.percentiles()
	return report{
		Label: l.label, Operation: l.operation, Clients: l.options.clients, Requests: len(all.values),
		Rate: round(float64(len(all.values)) / took), P50: p50, P99: p99, Max: max, Errors: failed.count, LastError: failed.last,
	}, nil
}

// call sends one request, or holds it until there is room for it.
func (c *leanConnection) call(client *leanClient, path string, message []byte) error {
	if bytes := grpcPrefix + len(message); bytes > c.streamWindow {
		return fmt.Errorf("the server does not take a request of %d bytes at once", bytes)
	}
	if len(c.held) > 0 || grpcPrefix+len(message) > c.sendWindow {
		c.held = append(c.held, heldCall{client, path, bytes.Clone(message)})
		return nil
	}
	id := c.nextID
	c.nextID += 2
	c.clients[id] = client
	client.answer = client.answer[:0]
	client.status = ""
	c.frame(frameHeaders, flagEndHeaders, id, c.block(path))
	return c.send(id, flagEndStream, message)
}

// release sends what was held and has room now.
func (c *leanConnection) release() error {
	held := c.held
	c.held = nil
	for i, h := range held {
		if err := c.call(h.client, h.path, h.message); err != nil {
			return err
		}
		if len(c.held) > 0 {
			c.held = append(c.held, held[i+1:]...)
			break
		}
	}
	return nil
}

// run serves the clients of this connection.
func (c *leanConnection) run(clients []*leanClient) error {
	defer c.conn.Close()
	for _, client := range clients {
		if err := c.begin(client); err != nil {
			return err
		}
	}
	for len(c.clients)+len(c.held) > 0 {
		if err := c.readFrame(); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the client's next operation, unless the run is over.
func (c *leanConnection) begin(client *leanClient) error {
	client.began = time.Now()
	if client.began.Sub(c.began) >= c.duration {
		return nil
	}
	client.operation = c.operation
	client.step = 0
	if c.operation == "mix" {
		client.operation = mixed(client.random)
	}
	client.key = c.key(client.random.Intn(c.keys))
	return c.callNext(client)
}

// callNext makes the call of the client's step.
func (c *leanConnection) callNext(client *leanClient) error {
	switch {
	case client.operation == "put":
		c.message = appendPut(c.message[:0], client.key, c.value)
		return c.call(client, putPath, c.message)
	case client.operation == "create":
		client.key = fmt.Sprintf("%screate/%d/%d", c.prefix, c.started, c.created.Add(1))
		c.message = appendPutIfAt(c.message[:0], client.key, c.value, 0)
		return c.call(client, txnPath, c.message)
	case client.operation == "list":
		c.message = appendRange(c.message[:0], c.prefix, prefixEnd(c.prefix), c.limit)
		return c.call(client, rangePath, c.message)
	case client.operation == "update" && client.step == 1:
		revision, err := modRevision(client.answer[grpcPrefix:])
		if err != nil {
			return err
		}
		c.message = appendPutIfAt(c.message[:0], client.key, c.value, revision)
		return c.call(client, txnPath, c.message)
	case client.operation == "get" || client.operation == "update":
		c.message = appendRange(c.message[:0], client.key, "", 0)
		return c.call(client, rangePath, c.message)
	}
	return fmt.Errorf("the lean client does not know %q", client.operation)
}

// answered takes the answer of a call, and goes on.
func (c *leanConnection) answered(client *leanClient) error {
	done, err := c.check(client)
	if err != nil {
		c.failed.add(err)
		return c.begin(client)
	}
	if !done {
		return c.callNext(client)
	}
	c.own = append(c.own, milliseconds(time.Since(client.began)))
	return c.begin(client)
}

// check says whether the operation is done; if not, the client's step is set.
func (c *leanConnection) check(client *leanClient) (bool, error) {
	answer := client.answer
	if client.status != "0" {
		return false, fmt.Errorf("%s: grpc-status %q", client.operation, client.status)
	}
	if len(answer) < grpcPrefix || answer[0] != 0 || int(binary.BigEndian.Uint32(answer[1:]))+grpcPrefix != len(answer) {
		return false, fmt.Errorf("%s: an answer of %d bytes is no message", client.operation, len(answer))
	}
	message := answer[grpcPrefix:]
	switch client.operation {
	case "get":
		return true, expectKeys(message, 1)
	case "list":
		// Beside the keys that are always there, those that this run or an earlier one has created may be in the range.
		return true, expectKeys(message, min(int(c.limit), c.keys))
	case "create":
		succeeded, err := txnSucceeded(message)
		if err == nil && !succeeded {
			err = errExists
		}
		return true, err
	case "update":
		if client.step == 0 {
			client.step = 1
			return false, nil
		}
		// The key was changed in between: again from the start, as an apiserver would.
		succeeded, err := txnSucceeded(message)
		client.step = 0
		return succeeded, err
	}
	return true, nil
}
